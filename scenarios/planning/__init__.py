"""From a scenario to the plan of its run, or to the points of its sweep."""

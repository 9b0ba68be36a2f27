"""What a run measured, and whether it is to be believed."""

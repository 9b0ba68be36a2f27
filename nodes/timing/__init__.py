"""How long a GPU computes."""

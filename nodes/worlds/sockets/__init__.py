"""Real sockets, wall-clock time, bytes that are there."""

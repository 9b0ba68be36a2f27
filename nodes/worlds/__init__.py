"""What a node runs in: real sockets or virtual time."""

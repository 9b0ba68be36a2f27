"""Who computes a request, and which side reads for it."""

"""What prefill and decode nodes do with a request."""

"""The emulated machine room: fat-trees, namespaces, rates, and what the kernel has of them."""

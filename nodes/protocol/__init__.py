"""What nodes and worlds agree on: messages, blocks, and the verbs of a world."""

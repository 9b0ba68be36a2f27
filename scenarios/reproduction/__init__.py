"""The paper's points, ours beside them, and which runs they need."""

"""Results as pages, tables and pictures."""

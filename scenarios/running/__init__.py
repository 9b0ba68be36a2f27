"""Serving a plan, emulated or simulated, and watching it."""

"""Trajectories: generated, or read from recorded traces."""

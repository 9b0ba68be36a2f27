"""Who asks: trajectories replayed turn by turn."""

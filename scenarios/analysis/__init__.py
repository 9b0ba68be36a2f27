"""What figures say: theory beside measurement, sweeps, agreement of both engines."""

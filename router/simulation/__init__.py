"""Serving a workload on a simulated clock, with the planning and the health of the real gateway."""

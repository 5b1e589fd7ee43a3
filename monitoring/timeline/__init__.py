"""Plots of what monitors found over time, all on one axis."""

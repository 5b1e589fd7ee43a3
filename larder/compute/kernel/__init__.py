"""The windows kernel: NumPy and Arrow only, the same for history, increments and streams."""

"""Training sets: labels joined with what was known about them, recorded so that they can be rebuilt."""

"""The monitors: pure functions from stored rows, a baseline and limits to findings."""

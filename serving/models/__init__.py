"""Versions in memory: the champion that answers, its shadow, and what they predict."""

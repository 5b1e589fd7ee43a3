"""What a run achieved and what monitors found, for people: in the terminal and as pages."""

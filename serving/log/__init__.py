"""The prediction log: answers are spooled before they are given, and a process beside the server stores them."""

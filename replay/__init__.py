"""A year as it happened: the stages' own functions under a clock that moves, with or without incidents.

Stands above the stages and may import all of them; none imports it.
"""

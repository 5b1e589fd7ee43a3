"""How columns become the inputs of a model: training exports a graph for them, serving feeds it the same."""

NUMBER_TYPES = ("float32", "float64", "int32", "int64", "bool")
"""Column types that the model sees as float32; null is NaN."""

STRING_TYPES = ("string",)

NULL_STRING = ""
"""A null string as the model sees it."""

NUMBERS, STRINGS = "numbers", "strings"
"""Inputs of an ONNX graph: float32 [rows, numbers] and string [rows, strings]; one without columns is absent. Of its
outputs the last counts, and of that the last column: for a classifier the label comes first, then the probabilities."""

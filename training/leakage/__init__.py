"""`larder leakage`: whether a training set is better informed than serving."""

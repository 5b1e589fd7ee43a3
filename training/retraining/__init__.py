"""`larder retrain`: whether a new model is due, and the run that makes one."""

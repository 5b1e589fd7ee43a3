"""Does a training set know more than serving did? Event-time against known-time joins, feature by feature."""

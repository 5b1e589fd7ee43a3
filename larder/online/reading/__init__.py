"""From request rows to model inputs: keys, one round trip, decoded values; loads neither Feast, Spark nor pandas."""

"""The one Spark session: on a laptop, on a cluster, with Java and the JARs that it needs."""

"""What every stage agrees on. Importing it loads neither Spark, MLflow nor Feast."""

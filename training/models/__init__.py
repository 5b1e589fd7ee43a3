"""A fitted model: how it is made, exported, judged fit to serve, described and kept in MLflow."""

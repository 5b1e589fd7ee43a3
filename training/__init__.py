"""Training set -> model -> gates -> MLflow registry -> serving bundle."""

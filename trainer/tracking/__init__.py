"""Runs as other programs show them: MLflow and TensorBoard."""

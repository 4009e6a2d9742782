"""Data, models, losses and metrics for a reproducibility study of GAN anomaly detection."""

__version__ = "0.1.0"

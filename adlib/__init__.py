"""Data, models, losses and metrics for a reproducibility study of GAN anomaly detection."""

__version__ = "0.2.0.dev0"

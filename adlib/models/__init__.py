"""Detectors. Importing this package registers all of them in `REGISTRY`."""

from adlib.models.autoencoder import AutoEncoder
from adlib.models.base import REGISTRY, Detector, build, load
from adlib.models.cbigan import CBiGAN

__all__ = ["REGISTRY", "AutoEncoder", "CBiGAN", "Detector", "build", "load"]

"""Detectors. Importing this package registers all of them in `REGISTRY`."""

from adlib.models.autoencoder import AutoEncoder
from adlib.models.base import REGISTRY, Detector, Trainable, build, load
from adlib.models.cbigan import CBiGAN
from adlib.models.classifier import Classifier
from adlib.models.fanogan import FAnoGAN
from adlib.models.ganomaly import GANomaly
from adlib.models.noisy_anogan import NoisyAnoGAN

__all__ = [
    "REGISTRY",
    "AutoEncoder",
    "CBiGAN",
    "Classifier",
    "Detector",
    "FAnoGAN",
    "GANomaly",
    "NoisyAnoGAN",
    "Trainable",
    "build",
    "load",
]

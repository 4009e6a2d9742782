"""Detectors. Importing this package registers all of them in `REGISTRY`."""

from adlib.models.autoencoder import AutoEncoder
from adlib.models.base import REGISTRY, Detector, Trainable, build, load
from adlib.models.cbigan import CBiGAN
from adlib.models.classifier import Classifier
from adlib.models.cyclegan import CycleGAN
from adlib.models.fanogan import FAnoGAN
from adlib.models.ganomaly import GANomaly
from adlib.models.geotrans import GeoTrans
from adlib.models.itae import ITAE
from adlib.models.lsa import LSA
from adlib.models.noisy_anogan import NoisyAnoGAN
from adlib.models.padim import PaDiM
from adlib.models.patchcore import PatchCore

__all__ = [
    "REGISTRY",
    "AutoEncoder",
    "CBiGAN",
    "Classifier",
    "CycleGAN",
    "Detector",
    "FAnoGAN",
    "GANomaly",
    "GeoTrans",
    "ITAE",
    "LSA",
    "NoisyAnoGAN",
    "PaDiM",
    "PatchCore",
    "Trainable",
    "build",
    "load",
]

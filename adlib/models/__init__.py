"""Detectors. Importing this package registers all of them in `REGISTRY`."""

from adlib.models.alad import ALAD
from adlib.models.alocc import ALOCC
from adlib.models.anogan import AnoGAN
from adlib.models.autoencoder import AutoEncoder
from adlib.models.avid import AVID
from adlib.models.base import REGISTRY, Detector, Trainable, build, load
from adlib.models.cavga import CAVGA
from adlib.models.cbigan import CBiGAN
from adlib.models.classifier import Classifier
from adlib.models.cyclegan import CycleGAN
from adlib.models.egbad import EGBAD
from adlib.models.fanogan import FAnoGAN
from adlib.models.ganomaly import GANomaly
from adlib.models.geotrans import GeoTrans
from adlib.models.itae import ITAE
from adlib.models.lsa import LSA
from adlib.models.noisy_anogan import NoisyAnoGAN
from adlib.models.padim import PaDiM
from adlib.models.patchcore import PatchCore
from adlib.models.robust_subspace import RobustSubspace
from adlib.models.vae import VAE
from adlib.models.vae_grad import VAEGrad

__all__ = [
    "ALAD",
    "ALOCC",
    "AVID",
    "CAVGA",
    "EGBAD",
    "REGISTRY",
    "VAE",
    "AnoGAN",
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
    "RobustSubspace",
    "Trainable",
    "VAEGrad",
    "build",
    "load",
]

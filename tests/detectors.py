"""Small settings of every registered detector: a line in SMALL joins the property tests."""

import torch

from adlib import models
from adlib.models import training

SMALL = {
    "CAVGA": {"side": 32, "channels": 1, "width": 4, "latent": 4},
    "CBiGAN": {"side": 32, "channels": 1, "width": 2},
    "AutoEncoder": {"side": 32, "channels": 1, "width": 4, "latent": 8},
    "Classifier": {"side": 32, "channels": 1, "width": 4},
    "CycleGAN": {"side": 32, "channels": 1, "width": 4, "blocks": 1},
    "FAnoGAN": {"side": 32, "channels": 1, "width": 2, "latent": 8, "critic_steps": 1},
    "GANomaly": {"side": 32, "channels": 1, "width": 8, "latent": 16},
    "GeoTrans": {"side": 32, "channels": 1, "width": 2, "widen": 1},
    "ITAE": {"side": 32, "channels": 3, "width": 2},
    "LSA": {"side": 32, "channels": 1, "width": 4, "latent": 8, "bins": 20, "density_width": 4},
    "NoisyAnoGAN": {
        "side": 32,
        "channels": 1,
        "width": 8,
        "latent": 8,
        "search_steps": 5,
        "search_chunk": 4,
    },
    "ALAD": {"side": 32, "channels": 1, "width": 4, "latent": 8},
    "ALOCC": {"side": 32, "channels": 1, "width": 2},
    "AVID": {"side": 64, "channels": 1, "width": 4},
    "AnoGAN": {
        "side": 32,
        "channels": 1,
        "width": 4,
        "latent": 8,
        "search_steps": 5,
        "search_chunk": 4,
    },
    "EGBAD": {"side": 32, "channels": 1, "width": 2, "latent": 8},
    "PaDiM": {"side": 32, "channels": 1, "backbone": "efficientnet_lite0", "features": 20},
    "PatchCore": {"side": 32, "channels": 1, "backbone": "efficientnet_lite0"},
    "VAE": {"side": 32, "channels": 1, "width": 4, "latent": 8},
    "VAEGrad": {"side": 32, "channels": 1, "width": 4, "latent": 8, "search_steps": 5},
}
# Scores depend on the sample (`Detector.transductive`), so they have tests of their own.
TRANSDUCTIVE = {"RobustSubspace": {"side": 32, "channels": 1}}
# Further corners of the same detectors: patches, colour, other losses and scores.
CORNERS = [
    ("CBiGAN", {"side": 64, "patch": 32, "rotation": (0, 45), "width": 2}),
    ("CBiGAN", {"side": 32, "width": 2, "alpha": 0.0, "feature_layer": "first_conv", "bias":
    "authors"}), ("CBiGAN", {"side": 32, "width": 2, "alpha": 1.0, "ema": 0.0}),
    ("CBiGAN", {"side": 32, "width": 2, "penalty": "authors", "critic_steps": 2, "reduction": "sum",
                "feature_layer": "image_map"}),
    ("ALAD", {"side": 48, "width": 4, "latent": 5, "ema": 0.0}),
    ("ALOCC", {"side": 56, "patch": 28, "width": 2, "reconstruction": "cross_entropy",
               "score": "input", "stop_below": 3.9}),
    ("AVID", {"side": 80, "width": 2, "weight_reconstruction": 0.0, "score": "both"}),
    ("AnoGAN", {"side": 96, "patch": 48, "width": 2, "latent": 5, "search_steps": 3,
                "search_chunk": 8, "restarts": 2, "ema": 0.0}),
    ("EGBAD", {"side": 56, "patch": 28, "width": 2, "latent": 5, "ema": 0.0}),
    ("AutoEncoder", {"side": 64, "patch": 32, "width": 4, "latent": 8, "loss": "ssim", "pool":
    "mean"}),
    ("Classifier", {"side": 48, "width": 4}),
    ("CycleGAN", {"side": 64, "patch": 32, "rotation": (0, 45), "width": 4, "blocks": 1,
                  "augmentation": "light", "score": "mad"}),
    ("CycleGAN", {"side": 36, "width": 4, "blocks": 2, "augmentation": "flip", "replay": 5}),
    ("FAnoGAN", {"side": 64, "patch": 32, "width": 2, "latent": 8, "critic_steps": 2}),
    ("GANomaly", {"side": 48, "width": 8, "latent": 8, "losses": "release"}),
    ("GANomaly", {"side": 32, "width": 8, "latent": 16, "losses": "paper", "score": "l1"}),
    ("GeoTrans", {"side": 32, "width": 2, "widen": 2, "translation": 0.125}),
    ("ITAE", {"side": 64, "channels": 1, "patch": 32, "width": 2, "loss": "l1", "score": "l2",
              "mirror": False}),
    ("LSA", {"side": 48, "patch": 24, "width": 4, "latent": 8, "bins": 20, "density_width": 2}),
    ("NoisyAnoGAN", {"side": 64, "patch": 32, "width": 4, "latent": 8, "gamma": 1.0, "r1": 0.0,
                     "search_steps": 3, "search_chunk": 8, "restarts": 2, "ema": 0.0}),
    ("NoisyAnoGAN", {"side": 32, "width": 4, "latent": 8, "weighting": "theory", "first_side": 32,
                     "penalty_every": 2, "search_steps": 5, "search_chunk": 8}),
    ("PaDiM", {"side": 64, "backbone": "efficientnet_lite0", "features": 30, "ridge": 0.1}),
    ("PatchCore", {"side": 64, "backbone": "efficientnet_lite0", "coreset": 0.02,
                   "neighbours": 1}),
    ("CAVGA", {"side": 96, "patch": 48, "width": 4, "latent": 4}),
    ("VAE", {"side": 64, "patch": 32, "width": 4, "latent": 8, "score": "combined",
             "pool": "mean"}),
    ("VAE", {"side": 32, "width": 4, "latent": 8, "score": "probability", "draws": 3,
             "learns_noise": True}),
    ("VAEGrad", {"side": 64, "patch": 32, "width": 4, "latent": 8, "search_steps": 30, "stop": 0.5,
                 "pool": "mean", "learns_noise": True}),
]  # fmt: skip
EVERY = [*SMALL.items(), *CORNERS]
TRAINED = [(n, s) for n, s in EVERY if issubclass(models.REGISTRY[n], models.Trainable)]
# What makes a planted square raise the score for every seed, not for most: steps, and settings.
# After a few steps of their game GANomaly and f-AnoGAN may call bright what is normal: the first
# plays none here and learns to give normal images one code, the generator of the second hardly
# leaves its start, which is grey.
STEPS = {"Classifier": 100, "GANomaly": 150, "AnoGAN": 10, "NoisyAnoGAN": 3}
# A discriminator's opinion alone makes these scores, and after a few steps it may call bright what
# is normal; AVID's map holds that opinion too. Their own tests hold scores against formulas.
OPINIONS = ("ALAD", "ALOCC")
OPINIONATED_MAPS = ("AVID",)
EASY = {
    "GANomaly": {"weight_adversarial": 0.0, "weight_latent": 1000.0},
    "FAnoGAN": {"learning_rate": 1e-4},
}


def noise(settings, seed=0, n=12):
    """Images of noise that a detector of these settings takes."""
    shape = n, settings.get("channels", 3), settings["side"], settings["side"]
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def trained_on_noise(name, settings, budget, folder=None, device="cpu"):
    """A detector after a training, and its losses."""
    detector = models.build(name, **settings)
    abnormal = noise(settings, 1) if detector.uses_abnormal else None
    history = training.train(detector, noise(settings), budget, 3, device, folder, abnormal)
    return detector, history


def of_brightness(detector):
    """Give a detector the maps and scores of one that takes bright pixels for abnormal."""
    detector.score = lambda x, _: x.flatten(1).double().amax(1).numpy()
    detector.anomaly_map = lambda x, _: x[:, 0].float().numpy()
    detector.judge = lambda x, batch: (detector.score(x, batch), detector.anomaly_map(x, batch))
    return detector

"""A detector for images of one's own: train, calibrate, score, export.

>>> from adlib import deploy
>>> detector = deploy.train("parts/normal", target="fpr 0.05")
>>> detector.save("parts.safetensors")
>>> print(deploy.score_folder(detector, "parts/today", "decisions.csv", "most_anomalous.png"))
"""

from adlib.deploy.decisions import CalibratedDetector, calibrate, load
from adlib.deploy.extending import extend
from adlib.deploy.judging import Summary, score_folder
from adlib.deploy.own_images import train
from adlib.deploy.targets import Target
from adlib.deploy.watching import watch

__all__ = [
    "CalibratedDetector",
    "Summary",
    "Target",
    "calibrate",
    "extend",
    "load",
    "score_folder",
    "train",
    "watch",
]

"""Images and their protocols.

>>> images = load("synthetic", "texture")
>>> split = one_class(images, seed=0)
>>> split.pixels("test", side=64).shape
torch.Size([48, 3, 64, 64])
"""

from adlib.data.catalogue import Dataset, categories, info, load, names
from adlib.data.decode import Conversion
from adlib.data.images import ImageSet
from adlib.data.mosaics import cell_truth
from adlib.data.official import differences, reduced
from adlib.data.paper_protocols import (
    inliers_against_clutter,
    kinds,
    leave_one_kind_out,
    one_class_anomalous,
    one_class_normal,
    pooled_balanced,
    with_labelled,
)
from adlib.data.patches import with_patches
from adlib.data.protocols import contaminated, one_class
from adlib.data.split import PARTS, Split

__all__ = [
    "PARTS", "Conversion", "Dataset", "ImageSet", "Split", "categories", "cell_truth",
    "contaminated", "differences", "inliers_against_clutter", "info", "kinds", "leave_one_kind_out",
    "load", "names", "one_class", "one_class_anomalous", "one_class_normal", "pooled_balanced",
    "reduced", "with_labelled", "with_patches",
]  # fmt: skip

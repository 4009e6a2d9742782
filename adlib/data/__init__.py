"""Images and their protocols.

>>> images = load("synthetic", "texture")
>>> split = one_class(images, seed=0)
>>> split.pixels("test", side=64).shape
torch.Size([48, 3, 64, 64])
"""

from adlib.data.catalogue import Dataset, categories, info, load, names
from adlib.data.images import ImageSet
from adlib.data.protocols import Split, one_class

__all__ = [
    "Dataset", "ImageSet", "Split", "categories", "info", "load", "names", "one_class",
]  # fmt: skip

"""Whether images at hand are the official ones: their numbers, size and format."""

from adlib.data.catalogue import info, miscounted
from adlib.data.classes import COPY, LOSSY
from adlib.data.images import ImageSet


def reduced(images: ImageSet, side: int | None) -> str:
    """Note on official images that were made smaller, but no smaller than `side`; else "".

    They are the official data for a network whose images are resized to `side`, up to rounding and
    the filter of the copy. Measured by `tests/bench/bench_reduced.py` on pictures of 1024 px
    (noise, generated objects and textures), solar cells of 300 px and magnetic tiles above 256 px:
    resized to 128 px at once, or through 256 px by a bicubic or bilinear filter, their pixels
    differ by 0.24 to 0.52 of 255 grey levels on average (PSNR 49 to 54 dB). At the copy's own 256
    px a bicubic filter makes 0.19 to 2.5 of it. No antialiasing, as in the code of CBiGAN's
    authors, makes 0.4 to 19 at 128 px.

    Args:
        images: of any data set.
        side: in pixels; None where no network is asked about.
    """
    published = info(images.name).sides.get(images.category)
    if not published or side is None:
        return ""
    shortest, longest = images.sides()
    if not side <= shortest <= longest < published:
        return ""
    return f"Official images, made smaller from {published} to {longest} px before they were read."


def differences(images: ImageSet, side: int | None = None) -> list[str]:
    """What differs from the published counts, size, colour and format; mostly nothing does.

    Args:
        images: of any data set.
        side: what a network's images are resized to: a copy that is `reduced` to no less does not
            differ. By default every other size does.
    """
    official, texts = info(images.name), miscounted(images)
    published = official.sides.get(images.category)
    if published and (longest := images.sides()[1]) != published and not reduced(images, side):
        texts.append(f"images of {longest} px instead of {published} px")
    if official.varied and len(set(images.sides())) == 1:
        texts.append(f"images of {images.sides()[0]} px instead of various sizes")
    if official.colour and images.grey:
        texts.append("grey images instead of colour")
    if published and not images.note and images.table["path"].str.lower().str.endswith(LOSSY).any():
        texts.append(COPY)  # all sets of a published size are published without loss
    return texts

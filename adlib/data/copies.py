"""Images that are near-copies of others: several shots of one object in one pose.

Two images are near-copies by either of two rules, both on grey pictures of mean 0 and length 1:

- Their difference is noise. Averaged over blocks of 4 x 4 pixels, white noise keeps 1/16 of its
  energy, while the difference of two objects keeps a third or more. The limit is 0.12, and half of
  what differences keep in the set, because those of a fine-grained texture keep little too; and
  they must be closer than two images of the set usually are.
- They are far closer to each other than to the rest: of averaged pictures, at most 0.09 of the
  distance to the image at the first quartile of all.

The limits were set on normal images of MVTec AD (bottle, screw, transistor), magnetic tiles, wood,
brain MRI, breast ultrasound, malaria cells and MNIST's threes. Of all but the ultrasound twenty
were shot five times with noise of 3 or 8 grey levels: every part is one group, and with exposures
that differ by 3 % too, but for bottles, whose white background is cut off (at 3 grey levels 13 of
20 are torn apart). Of the images as they are, pairs of wood and of the
medical sets, and tiles under several exposures, are found; falsely, three of 361 screws that lie
alike. An object that was moved or turned between two shots counts as another image, few of the
tiles whose exposures differ much are found, and shots of nothing but one object cannot be told from
a texture.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from adlib.data.images import ImageSet

SIDES = 128, 64, 32  # in pixels; the largest that no picture is smaller than, or else the last
BLOCK = 4  # side of the blocks of pixels that are averaged
NOISE = 0.12  # share of a difference's energy that averaging may leave
CLOSER = 0.9  # of the usual squared distance
CLOSE = 0.09  # of the distance to the first quartile
NEAREST = 16  # images that one is compared with
_ROWS = 512  # images compared at a time
_OTHERS = 2000  # images or pairs drawn, of which a quartile or median is taken


def near_copies(images: ImageSet, rows: np.ndarray) -> np.ndarray:
    """Group the images `rows` of a set: int64 `(len(rows),)`, equal where they are near-copies.

    A near-copy of a near-copy belongs to the same group. Time grows with the square of the number
    of images, memory with the number: 20 KB each.
    """
    if len(rows) < 2:
        return np.arange(len(rows))
    shortest, _ = images.sides()
    side = next((s for s in SIDES if s <= shortest), SIDES[-1])
    pictures = images.pixels(rows, side, 1).numpy()
    coarse = np.concatenate([_averaged(part) for part in _parts(pictures)])
    ones, others, squares = _nearest(coarse)
    quartile = _quartiles(coarse)
    close = squares <= CLOSE**2 * np.minimum(quartile[ones], quartile[others])
    whole = _apart(pictures, ones, others)
    kept, usual = _usual(pictures, coarse)
    noise = (squares <= min(NOISE, kept / 2) * whole) & (whole < CLOSER * usual)
    found = close | noise
    shape = len(rows), len(rows)
    pairs = coo_array((np.ones(found.sum()), (ones[found], others[found])), shape)
    return connected_components(pairs, directed=False)[1].astype(np.int64)


def _parts(values: np.ndarray) -> list[np.ndarray]:
    return np.split(values, range(_ROWS, len(values), _ROWS))


def _standard(pixels: np.ndarray) -> np.ndarray:
    """Grey pictures `(n, 1, S, S)` as float32 vectors `(n, S S)` of mean 0 and length 1."""
    values = pixels.reshape(len(pixels), -1).astype(np.float32)
    values -= values.mean(1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.maximum(lengths, 1e-6)  # a picture of one value stays 0


def _averaged(pixels: np.ndarray) -> np.ndarray:
    """Means over blocks of standardised pictures, times `BLOCK`: the smooth keeps its length."""
    n, blocks = len(pixels), pixels.shape[-1] // BLOCK
    means = _standard(pixels).reshape(n, blocks, BLOCK, blocks, BLOCK).mean((2, 4))
    return BLOCK * means.reshape(n, -1)


def _nearest(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of each point with its nearest ones: two indices, and the squared distance."""
    count = min(NEAREST, len(points) - 1)
    ones = np.repeat(np.arange(len(points)), count)
    others = []
    for part in _parts(np.arange(len(points))):
        squares = _squares(points[part], points)
        squares[np.arange(len(part)), part] = np.inf
        others.append(np.argpartition(squares, count - 1, axis=1)[:, :count].ravel())
    others = np.concatenate(others)
    # Anew by differences: of near-copies, products leave rounding errors.
    return ones, others, _apart(points, ones, others)


def _apart(points: np.ndarray, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared distances of pairs by differences; of pictures, standardised first."""
    read = _standard if points.dtype == np.uint8 else np.asarray
    pairs = zip(_parts(ones), _parts(others), strict=True)
    return np.concatenate([np.square(read(points[a]) - read(points[b])).sum(1) for a, b in pairs])


def _usual(pictures: np.ndarray, coarse: np.ndarray) -> tuple[float, float]:
    """Medians over pairs drawn at random: share of the energy that averaging leaves, and energy.

    Pairs that do not differ are not looked at.
    """
    rng, n = np.random.default_rng(0), len(pictures)
    ones = rng.integers(n, size=_OTHERS)
    others = (ones + rng.integers(1, n, size=_OTHERS)) % n
    whole = _apart(pictures, ones, others)
    ones, others, whole = ones[whole > 0], others[whole > 0], whole[whole > 0]
    if len(whole) == 0:
        return 0.0, 0.0
    return float(np.median(_apart(coarse, ones, others) / whole)), float(np.median(whole))


def _quartiles(points: np.ndarray) -> np.ndarray:
    """Squared distance of each point to the first quartile of all (of a draw, where many)."""
    drawn = points
    if len(points) > _OTHERS:
        drawn = points[np.random.default_rng(0).permutation(len(points))[:_OTHERS]]
    rank = max(1, len(drawn) // 4)
    squares = (_squares(points[part], drawn) for part in _parts(np.arange(len(points))))
    return np.concatenate([np.partition(part, rank, axis=1)[:, rank] for part in squares])


def _squares(some: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Squared distances `(len(some), len(points))` by products."""
    lengths = np.square(points).sum(1)
    squares = np.square(some).sum(1, keepdims=True) + lengths - 2 * some @ points.T
    return np.maximum(squares, 0)

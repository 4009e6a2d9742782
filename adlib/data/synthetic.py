"""Generated images with planted defects and exact masks, for tests and for a first trial."""

import numpy as np

KINDS = ("blot", "scratch")


def _texture(rng: np.random.Generator, side: int) -> np.ndarray:
    """A woven ground, float (side, side, 3) in [0, 1]: two crossed waves and noise."""
    y, x = np.mgrid[:side, :side] * (2 * np.pi / 8)
    phases = rng.uniform(0, 2 * np.pi, 2)
    grey = 0.5 + 0.12 * np.sin(x + 0.3 * y + phases[0]) + 0.12 * np.sin(y - 0.2 * x + phases[1])
    grey = grey + rng.normal(0, 0.02, (side, side))
    return grey[..., None] * np.array([1.0, 0.85, 0.7])


def _object(rng: np.random.Generator, side: int) -> np.ndarray:
    """A ring with a bright hub, slightly moved, float (side, side, 3) in [0, 1]."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    dy, dx = rng.uniform(-0.03, 0.03, 2)
    radius = np.hypot(y - dy, x - dx)
    edge = lambda limit: 1 / (1 + np.exp((radius - limit) * side))  # noqa: E731
    grey = 0.15 + 0.55 * edge(0.38) - 0.3 * edge(0.22) + 0.4 * edge(0.1)
    grey = grey * rng.uniform(0.95, 1.05) + rng.normal(0, 0.015, (side, side))
    return grey[..., None] * np.array([0.8, 0.9, 1.0])


def _defect(rng: np.random.Generator, side: int, kind: str) -> np.ndarray:
    """Where the defect is, bool (side, side): a disc, or a straight line, near the middle."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.25)
    y, x = y - reach * np.sin(angle), x - reach * np.cos(angle)
    if kind == "blot":
        return np.hypot(y, x) < rng.uniform(0.06, 0.1)
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return (np.abs(along) < rng.uniform(0.12, 0.2)) & (np.abs(across) < 0.025)


def generate(
    category: str,
    side: int = 64,
    n_train: int = 64,
    n_good: int = 24,
    n_bad: int = 24,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, int, str, str]]]:
    """Generate images, masks and what they are.

    Args:
        category: "texture" or "object".
        side: side in pixels.
        n_train: normal training images.
        n_good: normal test images.
        n_bad: abnormal test images, half of them blots and half scratches.
        seed: the same seed gives the same bytes.

    Returns:
        images uint8 (N, side, side, 3), masks bool (N, side, side), and per image (generated path,
        label, kind, part), sorted by path.
    """
    draw = {"texture": _texture, "object": _object}[category]
    counts = {"good": n_good} | {kind: len(range(i, n_bad, 2)) for i, kind in enumerate(KINDS)}
    what = [("train", "good", n_train), *(("test", kind, n) for kind, n in counts.items())]
    rows = sorted(
        (f"{part}/{kind}/{i:04d}", int(kind != "good"), kind, part)
        for part, kind, n in what
        for i in range(n)
    )
    images = np.empty((len(rows), side, side, 3), np.uint8)
    masks = np.zeros((len(rows), side, side), bool)
    rngs = np.random.SeedSequence([seed, *category.encode()]).spawn(len(rows))
    for i, (_, label, kind, _) in enumerate(rows):
        rng = np.random.default_rng(rngs[i])
        image = draw(rng, side)
        if label:
            masks[i] = _defect(rng, side, kind)
            image[masks[i]] = 0.05 if kind == "blot" else 0.95
        images[i] = np.round(image.clip(0, 1) * 255)
    return images, masks, rows

"""Image tensors: number formats, patches, random crops, rotations and views in batches."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """Turn uint8 `(N, C, H, W)` into float32 in [-1, 1], channels-last in memory."""
    return images.to(dtype=torch.float32, memory_format=torch.channels_last) / 127.5 - 1.0


def to_uint8(images: Tensor) -> Tensor:
    """Turn float images in [-1, 1] into uint8, rounded; values outside are clipped."""
    return ((images.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


def tile(images: Tensor, patch: int) -> Tensor:
    """Cut `(N, C, S, S)` into a grid of `(N * (S / patch)^2, C, patch, patch)`, row by row."""
    n, c, side, _ = images.shape
    if side == patch:
        return images
    k = side // patch
    grid = images.reshape(n, c, k, patch, k, patch)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(n * k * k, c, patch, patch)


def untile(tiles: Tensor, side: int) -> Tensor:
    """Undo `tile`: `(N * k^2, C, patch, patch)` to `(N, C, side, side)` with k = side / patch."""
    _, c, patch, _ = tiles.shape
    if side == patch:
        return tiles
    k = side // patch
    grid = tiles.reshape(-1, k, k, c, patch, patch)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, c, side, side)


def rotate(images: Tensor, degrees: Tensor, side: int | None = None) -> Tensor:
    """Rotate every image clockwise about its centre, bilinearly, repeating the border outside.

    Args:
        images: float `(N, C, H, H)`.
        degrees: `(N,)`.
        side: side of the central square to keep; the whole image by default.

    Returns:
        `(N, C, side, side)`.
    """
    side = side or images.shape[-1]
    share = side / images.shape[-1]
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos() * share, angle.sin() * share, torch.zeros_like(angle)
    # affine_grid maps output to input positions and y points down: this matrix turns clockwise.
    theta = torch.stack([torch.stack([cos, sin, zero], 1), torch.stack([-sin, cos, zero], 1)], 1)
    grid = F.affine_grid(theta, [len(images), images.shape[1], side, side], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def turned(images: Tensor, views: Tensor) -> Tensor:
    """Show every square image `(N, C, S, S)` in one of its eight views.

    A view v = 0 to 3 turns counterclockwise by 90 v degrees; v + 4 turns the same way and then
    exchanges left and right.
    """
    quarters = views % 4
    # Any view is a transposition or none, then upside down or not, then mirrored or not.
    transposed = quarters % 2 == 1
    upside_down = (quarters == 1) | (quarters == 2)
    mirrored = (quarters >= 2) ^ (views >= 4)

    def unless(keep: Tensor, other: Tensor) -> Tensor:
        return torch.where(keep.view(-1, 1, 1, 1), images, other)

    images = unless(~transposed, images.transpose(2, 3))
    images = unless(~upside_down, images.flip(2))
    return unless(~mirrored, images.flip(3))


def draw_batch(
    pixels: Tensor, batch: int, patch: int, rotation: tuple[float, float], rng: torch.Generator
) -> Tensor:
    """Draw a training batch with replacement, cropped and rotated at random, on the device.

    The authors of all methods go through shuffled images epoch by epoch instead.

    Args:
        pixels: uint8 `(N, C, S, S)`.
        batch: number of images or patches B.
        patch: side of the patches; 0 for whole images.
        rotation: range of the clockwise angle in degrees.
        rng: generator on the device of `pixels`.

    Returns:
        float32 `(B, C, patch or S, patch or S)` in [-1, 1].
    """
    device, side = pixels.device, pixels.shape[-1]
    index = torch.randint(len(pixels), (batch,), generator=rng, device=device)
    low, high = rotation
    still = low == high == 0
    if patch:
        # A box as wide as the patch's diagonal holds the patch at any angle without empty corners.
        box = patch if still else min(side, math.ceil(patch * math.sqrt(2)))
        corner = torch.randint(side - box + 1, (2, batch, 1), generator=rng, device=device)
        rows, columns = corner + torch.arange(box, device=device)
        chosen = pixels[index[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        images = chosen.permute(0, 3, 1, 2)  # indexing moved the channels last
    else:
        images = pixels[index]
    images = to_float(images)
    if still:
        return images
    degrees = torch.rand(batch, generator=rng, device=device) * (high - low) + low
    return rotate(images, degrees, patch or None).contiguous(memory_format=torch.channels_last)

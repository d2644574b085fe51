"""Registered images: frames interpolated to a common grid, which correlates and lowers their noise."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

ORDERS = {"lanczos2": 2, "lanczos3": 3}
"""Kernel -> lobes on either side."""

SPILL = 0.05
"""A flagged pixel flags the pixels to which it contributes with at least this weight."""


def margin(kernel: str) -> int:
    """Pixels that a frame must reach beyond the stamp on every side, for shifts of up to half a pixel."""
    return ORDERS.get(kernel, 0)


def lanczos(distance: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Lanczos kernel sinc(x) sinc(x / a) within a = `order` pixels (Duchon 1979, J. Appl. Meteor. 18, 1016), not normalised."""
    return np.where(np.abs(distance) < order, np.sinc(distance) * np.sinc(distance / order), 0.0)


def weights(shift: NDArray[np.floating], size: int, kernel: str) -> NDArray[np.float32]:
    """Interpolation along one axis.

    Parameters
    ----------
    shift : (...)
        Position on the frame of the new grid's first pixel [px], relative to the stamp's first pixel; within half a pixel.
    size : int
        Side of the new stamp [px].
    kernel : str
        One of `ORDERS`.

    Returns
    -------
    (..., size, size + 2 margin) array
        Every row sums to 1: a flat sky keeps its level.
    """
    reach, rows = margin(kernel), np.arange(size)
    steps = np.arange(-reach, reach + 1)
    taps = lanczos(np.asarray(shift, np.float64)[..., None] + steps, reach)
    taps = taps / taps.sum(axis=-1, keepdims=True)
    out = np.zeros((*np.shape(shift), size, size + 2 * reach), np.float32)
    for k, step in enumerate(steps):  # every row has the same taps, one pixel further
        out[..., rows, rows + reach - step] = taps[..., k, None]
    return out


def interpolate(images: torch.Tensor, shift: NDArray[np.floating], size: int, kernel: str) -> torch.Tensor:
    """Images (n, T, C, size + 2 margin, size + 2 margin) on the grid that is shifted by `shift`, see `register`; not rounded."""
    along_x, along_y = (torch.from_numpy(weights(shift[..., k], size, kernel)).to(images.device)[:, :, None] for k in (0, 1))
    return along_y @ images @ along_x.transpose(-1, -2)


def register(
    pixels: torch.Tensor, bits: torch.Tensor, shift: NDArray[np.floating], size: int, kernel: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames interpolated to a grid that is shifted by a fraction of a pixel.

    Parameters
    ----------
    pixels : float tensor (n, T, C, size + 2 margin, size + 2 margin), ADU
    bits : uint8 tensor of the same shape
        `PixelBits`.
    shift : (n, T, 2)
        (x, y) of the new grid on the frame's [px], within half a pixel.
    size : int
        Side of the new stamps [px].
    kernel : str
        One of `ORDERS`.

    Returns
    -------
    pixels : float tensor (n, T, C, size, size)
        Rounded to whole ADU again, as every stored image is.
    bits : uint8 tensor of the same shape
    """
    image = torch.round(interpolate(pixels, shift, size, kernel))
    out = torch.zeros(image.shape, dtype=bits.dtype, device=bits.device)
    if bits.any():
        axes = (torch.from_numpy(weights(shift[..., k], size, kernel)).to(pixels.device)[:, :, None] for k in (0, 1))
        reach_x, reach_y = ((axis.abs() >= SPILL).to(pixels.dtype) for axis in axes)
        for bit in (1 << k for k in range(8)):
            flagged = (bits & bit) > 0
            if flagged.any():
                touched = reach_y @ flagged.to(pixels.dtype) @ reach_x.transpose(-1, -2) > 0
                out |= torch.where(touched, torch.full_like(out, bit), torch.zeros_like(out))
    return image, out

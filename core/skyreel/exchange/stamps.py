"""Images of any size and origin as stamps of one size with a pixel mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exchange.tables import FrameTable
from skyreel.interfaces import PixelBits

SMALLEST, LARGEST = 7, 256
"""Sides of the stamps that skyreel works with [px]."""


@dataclass(frozen=True)
class Images:
    """What was read of some rows.

    Attributes
    ----------
    pixels : list of m arrays (C, h, w), ADU
    masks : list of m uint8 arrays (C, h, w) or None
        `PixelBits` that came with the images; None where no pixel is flagged.
    headers : list of m mappings
        FITS headers; empty mappings for other formats.
    """

    pixels: list[NDArray[Any]]
    masks: list[NDArray[np.uint8] | None]
    headers: list[Any]


class Cutouts(Protocol):
    """N cutouts on disk and the table that describes them.

    Attributes
    ----------
    table : FrameTable
    masked : bool
        Whether the images bring pixel masks of their own.
    notes : list of str
        What the user should know about the files.
    """

    table: FrameTable
    masked: bool
    notes: list[str]

    def read(self, rows: NDArray[np.intp]) -> Images:
        """The images of these rows."""
        ...

    def where(self, row: int) -> str:
        """A row's name for messages, with the file it comes from."""
        ...


@dataclass(frozen=True)
class Stamps:
    """m stamps of one size.

    Attributes
    ----------
    pixels : float32 (m, C, H, W), ADU
        0 where the image has no value, unless its own mask says so already.
    bits : uint8 (m, C, H, W)
        `PixelBits`.
    cut : bool (m,)
        True where the image ends inside the stamp or holds pixels without a value.
    """

    pixels: NDArray[np.float32]
    bits: NDArray[np.uint8]
    cut: NDArray[np.bool_]


def to_stamps(images: Images, shape: tuple[int, int, int], centre: NDArray[np.float64] | None, names: Sequence[str], fixed: bool) -> Stamps:
    """Brings images to one shape around their middle pixels, index ``side // 2``, or around `centre`.

    Pixels outside an image, and NaN or infinite ones that its mask does not flag, become 0 with `PixelBits.NO_DATA`.

    Parameters
    ----------
    images : Images, m
    shape : (C, H, W)
        Of the stamps.
    centre : float (m, 2) or None
        Position (x, y) of the object in the image, 0-based [px]; NaN for the middle pixel. Not used with `fixed`.
    names : sequence of m str
        For messages.
    fixed : bool
        Whether images of another shape are an error.

    Raises
    ------
    DataError
        For images of another number of channels and, with `fixed`, of another shape.
    """
    for name, image in zip(names, images.pixels, strict=True):
        if image.shape[0] != shape[0] or (fixed and image.shape != shape):
            kind = f"{_size(image.shape)}, the first one {_size(shape)}"
            raise DataError(f"cutout {name}", kind, "give --stamp-size N (px) to crop and pad all of them to one size")
    m = len(images.pixels)
    pixels = np.zeros((m, *shape), np.float32)
    bits = np.full((m, *shape), PixelBits.NO_DATA, np.uint8)
    for k, image in enumerate(images.pixels):
        middle = np.array(image.shape[:0:-1]) // 2
        if centre is not None and not fixed:
            middle = np.where(np.isnan(centre[k]), middle, np.rint(np.nan_to_num(centre[k]))).astype(int)
        (to_x, from_x), (to_y, from_y) = (_overlap(int(middle[axis]), image.shape[2 - axis], shape[2 - axis]) for axis in (0, 1))
        pixels[k, :, to_y, to_x] = image[:, from_y, from_x]
        mask = images.masks[k]
        bits[k, :, to_y, to_x] = 0 if mask is None else mask[:, from_y, from_x]
    empty = (bits == 0) & ~np.isfinite(pixels)
    bits[empty], pixels[empty] = PixelBits.NO_DATA, 0
    return Stamps(pixels, bits, np.asarray(((bits & PixelBits.NO_DATA) > 0).any(axis=(1, 2, 3))))


def _overlap(middle: int, have: int, want: int) -> tuple[slice, slice]:
    """Slices of the stamp and of the image along one axis where they overlap."""
    first = middle - want // 2
    start, stop = max(first, 0), max(min(first + want, have), max(first, 0))
    return slice(start - first, stop - first), slice(start, stop)


def _size(shape: Sequence[int]) -> str:
    channels = "" if shape[0] == 1 else f" x {shape[0]} channels"
    return f"{shape[1]} x {shape[2]} px{channels}"


def stamp_shape(first: NDArray[Any], size: int | None, name: str) -> tuple[int, int, int]:
    """Shape (C, H, W) of the stamps, from the first image or the side that the user asks for.

    Raises
    ------
    DataError
        If the side is not square or not between `SMALLEST` and `LARGEST`.
    """
    height, width = (size, size) if size else first.shape[1:]
    if height != width or not SMALLEST <= height <= LARGEST:
        remedy = f"give --stamp-size N, a side from {SMALLEST} to {LARGEST} px"
        raise DataError(f"cutout {name}", f"stamps of {height} x {width} px", remedy)
    return int(first.shape[0]), int(height), int(width)

"""The stamps of one movie: grey scale, strip with captions, animated GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Normalize, to_rgb, to_rgba
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from skyreel.evaluate.figures_stamps import counts_of, less_rim
from skyreel.evaluate.figures_style import GRID, PALETTE, TEXT
from skyreel.evaluate.gallery_options import GalleryOptions
from skyreel.interfaces import PixelBits
from skyreel.movies import Movies

BAD, SATURATED = PALETTE[1], PALETTE[3]
"""Colours of pixels without a value and of saturated ones."""
CELL = 1.16
"""Height of a stamp and its caption in the strip, in widths of a stamp."""
TARGET = 250
"""Width of an animated stamp [px] where none is asked for."""
LINE, MARGIN = 16, 6
"""Height of a line of text, and space around it [px]."""
_GREYS = 250
"""Entries of the GIF's palette that are greys; three colours follow."""


@dataclass(frozen=True)
class Strip:
    """The frames of one movie up to its last usable one.

    Attributes
    ----------
    stamps : float64 (K, H, W), ADU
        First channel less the median of each stamp's rim; NaN for bad pixels and for frames that cannot be used.
    saturated : bool (K, H, W)
    usable : bool (K,)
    norm : Normalize
        The grey scale of all of them.
    """

    stamps: NDArray[np.float64]
    saturated: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    norm: Normalize

    def __len__(self) -> int:
        return len(self.stamps)


def strip_of(movies: Movies, row: int, options: GalleryOptions) -> Strip:
    """The strip of one movie."""
    usable = movies.frame_mask[row] & movies.reported.mask[row]
    frames = np.arange(int(np.flatnonzero(usable).max(initial=-1)) + 1)
    usable = usable[frames]
    counts = np.where(usable[:, None, None], counts_of(movies, row, frames), np.nan)
    saturated = (movies.pixel_mask[row, frames, 0] & PixelBits.SATURATED) != 0
    stamps = less_rim(counts)
    return Strip(stamps, saturated & usable[:, None, None], usable, grey_scale(stamps, options))


def grey_scale(stamps: NDArray[np.float64], options: GalleryOptions) -> Normalize:
    """One scale for all stamps (K, H, W) [ADU less sky], between the percentiles that `options` name.

    An asinh scale is linear within 3 sigma of the noise. The range is at least 5 sigma wide, so that noise alone never
    fills it.
    """
    seen = stamps[np.isfinite(stamps)]
    if not seen.size:
        return Normalize(-1.0, 1.0)
    noise = max(float(1.4826 * np.median(np.abs(seen - np.median(seen)))), 1e-3)
    low, high = (float(value) for value in np.percentile(seen, [options.low_percentile, options.high_percentile]))
    high = max(high, low + 5 * noise)
    if options.stretch == "linear":
        return Normalize(low, high)
    return AsinhNorm(linear_width=max(3 * noise, 1e-3 * high), vmin=low, vmax=high)


def draw_strip(axes: Axes, strip: Strip, captions: Sequence[str], columns: int) -> None:
    """Stamps in rows from the top, each with its caption below; unusable frames are empty boxes.

    Parameters
    ----------
    axes : Axes
        Loses its frame.
    strip : Strip
    captions : sequence of str
        One per frame.
    columns : int
        Stamps in a row.
    """
    rows = -(-len(strip) // columns)
    grey = colormaps["gray"].with_extremes(bad=BAD)
    for number, (stamp, text) in enumerate(zip(strip.stamps, captions, strict=True)):
        x, y = number % columns + 1, CELL * (rows - 1 - number // columns) + CELL - 0.94
        extent = (x - 0.47, x + 0.47, y, y + 0.94)
        if strip.usable[number]:
            axes.imshow(stamp, cmap=grey, norm=strip.norm, origin="lower", extent=extent, interpolation="nearest")
        else:
            axes.add_patch(Rectangle((x - 0.47, y), 0.94, 0.94, facecolor="white", edgecolor=GRID, hatch="//"))
        if strip.saturated[number].any():
            overlay = np.zeros((*stamp.shape, 4))
            overlay[strip.saturated[number]] = to_rgba(SATURATED)
            axes.imshow(overlay, origin="lower", extent=extent, interpolation="nearest")
        axes.text(x, y - 0.04, text, ha="center", va="top", fontsize=7.5, color=TEXT)
    axes.set_xlim(0.5, columns + 0.5)
    axes.set_ylim(0, CELL * rows)
    axes.set_aspect("equal")
    axes.axis("off")


def animated(strip: Strip, titles: Sequence[str], options: GalleryOptions) -> bytes:
    """The movie as a GIF that repeats for ever: one image per frame, with its title above.

    Parameters
    ----------
    strip : Strip
    titles : sequence of str
        One per frame, of as many lines each; no two alike, since a GIF joins equal frames.
    options : GalleryOptions
        `magnify` and `frame_time` are used.

    Returns
    -------
    bytes
        The same for the same strip.
    """
    height, width = strip.stamps.shape[1:]
    zoom = options.magnify or max(1, TARGET // width)
    lines = 1 + max(text.count("\n") for text in titles)
    font = ImageFont.load_default(12)
    wide = max(zoom * width, *(int(font.getlength(line)) + 2 * MARGIN for text in titles for line in text.split("\n")))
    head = lines * LINE + 2 * MARGIN
    images = []
    for number, text in enumerate(titles):
        page = Image.new("L", (wide, head + zoom * height), _GREYS - 1)
        ImageDraw.Draw(page).multiline_text((MARGIN, MARGIN), text, fill=0, font=font, spacing=3)
        values = np.minimum(np.asarray(page), _GREYS - 1)
        left = (wide - zoom * width) // 2
        big = np.kron(_indices(strip, number)[::-1], np.ones((zoom, zoom), np.uint8))  # the first row lies at the bottom
        values[head:, left : left + zoom * width] = big
        image = Image.fromarray(values.astype(np.uint8)).convert("P")
        image.putpalette(_palette())
        images.append(image)
    buffer = io.BytesIO()
    duration = round(1000 * options.frame_time)
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=duration, loop=0, optimize=False, disposal=1)
    return buffer.getvalue()


def _indices(strip: Strip, number: int) -> NDArray[np.uint8]:
    """Palette entries (H, W) of one frame."""
    stamp = strip.stamps[number]
    if not strip.usable[number]:
        return np.full(stamp.shape, _GREYS + 2, np.uint8)
    grey = np.clip(np.ma.filled(strip.norm(np.nan_to_num(stamp)), 0.0), 0, 1) * (_GREYS - 1)
    out = np.where(np.isfinite(stamp), grey.round(), _GREYS)
    return np.where(strip.saturated[number], _GREYS + 1, out).astype(np.uint8)


def _palette() -> list[int]:
    greys = [round(255 * k / (_GREYS - 1)) for k in range(_GREYS)]
    colours = [[round(255 * value) for value in to_rgb(name)] for name in (BAD, SATURATED, GRID)]
    flat = [value for grey in greys for value in (grey, grey, grey)] + [value for colour in colours for value in colour]
    return flat + [0] * (768 - len(flat))

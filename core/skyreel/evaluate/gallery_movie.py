"""One simulated object on one sheet: stamps, light curve as it is and as it is measured, conditions, parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from skyreel.evaluate.figures_style import PALETTE, TEXT, Drawing, new_figure, tidy, title
from skyreel.evaluate.gallery_options import GalleryOptions
from skyreel.evaluate.gallery_stamps import CELL, Strip, draw_strip, strip_of
from skyreel.evaluate.names import long_name
from skyreel.exposures import Exposures
from skyreel.interfaces import Array, Params, Source
from skyreel.light_curves import LightCurves, measure
from skyreel.movies import Movies

COLUMNS = 11
"""Stamps in a row."""
WIDTH = 13.0
"""Of a sheet [inch]."""
NIGHT = 0.4
"""A longer pause between two images [d] ends a night."""
SHADE, TRUE = "#F1F3F6", "#EE7733"
"""Colour of every other night, and of true fluxes: no band has it."""
POINTS = 400
"""Of a smooth light curve."""
MOST_DAYS = 14
"""Labels side by side on top of the light curve."""
MOST_PARAMETERS = 14
"""Lines of the table of parameters."""
CONDITIONS = {"seeing": 'seeing ["]', "sky": "sky [ADU/px]", "zero_point": "zero point\n[mag]"}


@dataclass(frozen=True)
class Shown:
    """One object of the gallery.

    Attributes
    ----------
    movies : Movies
        The object alone.
    params : Params
        Of its source, one row.
    strip : Strip
    curve : LightCurves
        Measured, one row.
    truth : float64 (T,)
        Noiseless flux of the source in the units of `curve`: counts/s of an image of zero point 25; 0 where it gives none.
    """

    movies: Movies
    params: Params
    strip: Strip
    curve: LightCurves
    truth: NDArray[np.float64]

    @property
    def label(self) -> str:
        """Class."""
        return str(self.movies.label[0])

    @property
    def name(self) -> str:
        """Identifier of the object."""
        return str(self.movies.object_id[0])

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Frames (T,) that can be used."""
        return np.asarray(self.movies.frame_mask[0] & self.movies.reported.mask[0])

    @property
    def days(self) -> Array:
        """Middle of the exposures since that of the first usable one (T,) [d]."""
        mjd = self.movies.reported.mid_mjd[0]
        return np.asarray(mjd - mjd[self.usable][0])

    @property
    def on_galaxy(self) -> bool:
        """Whether a source that gives light has a galaxy in its stamp: photometry then measures both."""
        truth = self.movies.truth
        return bool(truth is not None and truth.host[0] and self.truth.any())

    @property
    def several_bands(self) -> bool:
        """Whether the movie has images in more than one band."""
        return len(np.unique(self.movies.reported.band[0][self.usable])) > 1


def shown(movies: Movies, row: int, params: Params, options: GalleryOptions) -> Shown:
    """Takes, measures and scales one movie; `params` holds one row."""
    one = movies.take([row])
    assert one.truth is not None  # simulated movies have it
    curve = measure(one)
    true = one.truth.exposures
    rate = np.where(true.mask, one.truth.flux / np.where(true.mask, true.exptime, 1), 0)
    truth = rate * 10.0 ** (0.4 * (curve.zero_point - np.where(true.mask, true.zero_point, curve.zero_point)))
    return Shown(one, params, strip_of(one, 0, options), curve, np.asarray(truth[0], np.float64))


def period_of(item: Shown) -> float | None:
    """The object's period [d] where it has one that is shorter than the movie; None otherwise."""
    value = item.params.get("period")
    if value is None or np.asarray(value).dtype.kind not in "fiu":
        return None
    period, span = float(value[0]), float(item.days[item.usable].max())
    return period if np.isfinite(period) and 0 < period < span else None


def smooth_magnitudes(source: Source, item: Shown, band: str) -> tuple[Array, Array]:
    """Days since the first image (P,) and noiseless magnitudes (P,) of an object between its first and last image.

    Of an object with a `period_of` one period from the first image on; NaN where there is no light.
    """
    period = period_of(item)
    last = float(item.days[item.usable].max())
    days = np.linspace(0, last if period is None else period, POINTS)
    first = item.movies.reported.mid_mjd[0][item.usable][0]
    index = np.full((1, POINTS), source.bands.index(band), np.int8)
    mag = source.light_curve(item.params, first + days[None], index).mag[0]
    return days, np.where(np.isfinite(mag), mag, np.nan)


def frame_captions(item: Shown) -> list[str]:
    """Number, day and reported seeing of every frame of the strip, and its band where there are several."""
    reported = item.movies.reported
    out = []
    for k in range(len(item.strip)):
        band = f" {reported.bands[reported.band[0, k]]}" if item.several_bands else ""
        text = f'{item.days[k]:.2f} d, {reported.seeing[0, k]:.1f}"' if item.strip.usable[k] else "no image"
        out.append(f"{k + 1}{band}: {text}")
    return out


def frame_titles(item: Shown) -> list[str]:
    """Class and number, date, band and reported seeing of every frame, in three lines; no two alike."""
    reported = item.movies.reported
    out = []
    for k in range(len(item.strip)):
        first = f"{long_name(item.label)}, image {k + 1} of {len(item.strip)}"
        last = f'band {reported.bands[reported.band[0, k]]}, seeing {reported.seeing[0, k]:.2f}"'
        date = f"MJD {reported.mjd[0, k]:.5f} (day {item.days[k]:.2f})"
        out.append("\n".join((first, date, last) if item.strip.usable[k] else (first, "no usable image", "")))
    return out


def movie_figure(item: Shown, source: Source) -> Drawing:
    """The sheet of one object.

    Parameters
    ----------
    item : Shown
    source : Source
        Of its class.
    """
    rows = -(-len(item.strip) // COLUMNS)
    stamps_high = CELL * WIDTH / COLUMNS * rows
    figure = new_figure(WIDTH, stamps_high + 5.6)
    upper, lower = np.asarray(figure.subfigures(2, 1, height_ratios=[stamps_high + 0.2, 5.4])).flat
    axes = upper.subplots()
    draw_strip(axes, item.strip, frame_captions(item), COLUMNS)
    title(axes, f"{long_name(item.label)}: {item.name}")
    left, right = lower.subfigures(1, 2, width_ratios=[1.75, 1])
    panels = left.subplots(4, 1, sharex=True, height_ratios=[2.6, 1, 1, 1])
    _flux(panels[0], item)
    for axes, name in zip(panels[1:], CONDITIONS, strict=True):
        _condition(axes, item, name)
    panels[-1].set_xlabel("number of the image", color=TEXT)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    curve, table = right.subplots(2, 1, height_ratios=[1.25, 1])
    _smooth(curve, item, source)
    _parameters(table, item)
    return Drawing(figure, _caption(item))


def band_style(bands: Sequence[str], index: int) -> dict[str, Any]:
    """Colour and marker of a band, by its place among the survey's; black where the survey has one alone."""
    if len(bands) == 1:
        return {"color": TEXT, "marker": "o"}
    return {"color": PALETTE[index % len(PALETTE)], "marker": "osD^vPX"[index % 7]}


def bands_of(exposures: Exposures, usable: NDArray[np.bool_]) -> list[int]:
    """Indices of the bands of one object's usable frames."""
    return [int(k) for k in np.unique(exposures.band[0][usable])]


def _flux(axes: Axes, item: Shown) -> None:
    reported, curve = item.movies.reported, item.curve
    _nights(axes, item)
    axes.axhline(0, color=PALETTE[6], linewidth=0.8)
    number = np.arange(1, len(item.truth) + 1)
    for band in bands_of(reported, item.usable):
        style = band_style(reported.bands, band)
        here = curve.mask[0] & (reported.band[0] == band)
        label = f"measured{' with its galaxy' if item.on_galaxy else ''}, {reported.bands[band]}"
        axes.errorbar(number[here], curve.flux[0, here], curve.error[0, here], fmt="none", ecolor=style["color"], elinewidth=1.2)
        axes.plot(number[here], curve.flux[0, here], linestyle="", markersize=4.5, label=label, **style)
    lit = item.usable
    axes.plot(number[lit], item.truth[lit], linestyle="", marker="_", markersize=11, markeredgewidth=2, color=TRUE, label="true")
    tidy(axes, "", "flux [counts/s\nat zero point 25]")
    axes.set_xlim(0.5, len(item.strip) + 0.5)
    alert = int(item.movies.first_detection[0])
    if alert >= 0:
        axes.axvline(alert + 1, color=TEXT, linewidth=1.2, linestyle=":", zorder=1, label="first alert")
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 1.13), borderaxespad=0)
    _days_on_top(axes, item)


def _condition(axes: Axes, item: Shown, name: str) -> None:
    reported = item.movies.reported
    _nights(axes, item)
    values = getattr(reported, name)[0]
    for band in bands_of(reported, item.usable):
        here = item.usable & (reported.band[0] == band)
        style = band_style(reported.bands, band)
        axes.plot(np.flatnonzero(here) + 1, values[here], linestyle="", markersize=3.5, **style)
    tidy(axes, "", CONDITIONS[name])
    axes.yaxis.label.set_fontsize(8.5)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.get_major_formatter().set_useOffset(False)  # type: ignore[attr-defined]


def _smooth(axes: Axes, item: Shown, source: Source) -> None:
    """Noiseless magnitude, smooth and at the images: against time, or against phase where the period is shorter than the movie."""
    reported, period = item.movies.reported, period_of(item)
    tidy(axes, "days since the first image" if period is None else f"phase (period {period:.4g} d)", "noiseless magnitude")
    if not (item.truth > 0).any():
        axes.text(0.5, 0.5, "no light of its own", ha="center", va="center", color=TEXT, transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    for band in bands_of(reported, item.usable):
        draw_true(axes, item, source, band)
    whole_movie(axes, item)
    low, high = axes.dataLim.intervaly
    if high - low < 0.1:  # a constant is no staircase of rounding errors
        axes.set_ylim(0.5 * (low + high) - 0.25, 0.5 * (low + high) + 0.25)
    axes.invert_yaxis()
    axes.yaxis.get_major_formatter().set_useOffset(False)  # type: ignore[attr-defined]
    if item.several_bands:
        axes.legend(frameon=False, fontsize=8)


def whole_movie(axes: Axes, item: Shown) -> None:
    """Lets an axis of days hold the movie, also where the source gives light in one image alone."""
    if period_of(item) is None:
        last = float(item.days[item.usable].max())
        axes.set_xlim(-0.04 * last - 0.01, 1.04 * last + 0.01)


def draw_true(axes: Axes, item: Shown, source: Source, band: int, **style: Any) -> None:
    """Noiseless magnitudes in one band: a smooth curve and the values at the images, against days or phase.

    The values at the images hold the true zero point alone: they lie on the curve.
    """
    reported, period = item.movies.reported, period_of(item)
    style = band_style(reported.bands, band) | style
    days, mag = smooth_magnitudes(source, item, reported.bands[band])
    axes.plot(days / (period or 1), mag, color=style["color"], linewidth=1, alpha=0.6)
    here = item.usable & (reported.band[0] == band) & (item.truth > 0)
    x = item.days[here] if period is None else item.days[here] / period % 1
    mags = item.curve.zero_point - 2.5 * np.log10(item.truth[here])
    axes.plot(x, mags, linestyle="", markersize=4, label=reported.bands[band], **style)


def _parameters(axes: Axes, item: Shown) -> None:
    axes.axis("off")
    truth = item.movies.truth
    assert truth is not None
    lines = []
    for name, column in truth.params.items():
        value = column[0]
        number = np.asarray(value).dtype.kind in "fiu"
        if not number or np.isfinite(value):
            lines.append((name, f"{value:.6g}" if number else str(value)))
    if len(lines) > MOST_PARAMETERS:
        lines = [*lines[: MOST_PARAMETERS - 1], ("...", f"{len(lines) - MOST_PARAMETERS + 1} more")]
    for k, (name, text) in enumerate(lines):
        side, line = divmod(k, MOST_PARAMETERS // 2)
        x, y = 0.52 * side, 0.98 - line / (MOST_PARAMETERS / 2)
        axes.text(x, y, f"{name}: {text}", fontsize=8.5, color=TEXT, va="top", transform=axes.transAxes)


def _nights(axes: Axes, item: Shown) -> None:
    """Shades every other night."""
    night = _night(item)
    numbers = np.flatnonzero(item.usable) + 1
    for k in range(1, int(night.max(initial=0)) + 1, 2):
        places = numbers[night == k]
        axes.axvspan(places[0] - 0.5, places[-1] + 0.5, color=SHADE, linewidth=0, zorder=0)


def _night(item: Shown) -> NDArray[np.intp]:
    """Number of the night (K,) of every usable frame."""
    days = item.days[item.usable]
    return np.cumsum(np.diff(days, prepend=days[:1]) > NIGHT)


def _days_on_top(axes: Axes, item: Shown) -> None:
    """Days since the first image at the first image of each night."""
    night = _night(item)
    first = np.flatnonzero(np.diff(night, prepend=-1))
    numbers, days = (np.flatnonzero(item.usable) + 1)[first], item.days[item.usable][first]
    kept = [0]
    for k in range(1, len(first)):
        if numbers[k] - numbers[kept[-1]] >= len(item.strip) / MOST_DAYS:  # labels must not touch
            kept.append(k)
    top = axes.secondary_xaxis("top")
    top.set_xticks(numbers[kept], [f"{days[k]:.1f} d" for k in kept], fontsize=8)
    top.spines[:].set_visible(False)
    top.tick_params(colors=TEXT, length=2)


def _caption(item: Shown) -> str:
    host = " Its galaxy's light within the PSF is part of what is measured." if item.on_galaxy else ""
    folded = ", folded with its period" if period_of(item) else ""
    return (
        f"{item.name}, {long_name(item.label)}, {int(item.usable.sum())} images. Top: all stamps on one grey scale, less the median of "
        f"their rims, each with its number, days since the first image and reported seeing; bad pixels are red, saturated ones yellow. "
        f"Left: flux as optimal photometry measures it with 1-sigma errors, beside the true one, and the reported conditions; every "
        f"other night is shaded, days since the first image on top.{host} Right: the noiseless light curve{folded} (points: at the "
        f"images), and what was drawn for the object."
    )

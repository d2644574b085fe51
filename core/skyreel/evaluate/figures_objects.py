"""Single objects: supernovae over time (appendix B of the paper), simulated twins (appendix A), the worst failures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.evaluate.exhibits_parts import Exhibits, Shown, Twins
from skyreel.evaluate.figures_stamps import draw_strip, less_rim, stretch
from skyreel.evaluate.figures_style import PALETTE, TEXT, Drawing, class_style, new_figure, share_axes, tidy, title
from skyreel.evaluate.names import long_name

COLUMNS = 11
"""Stamps in a row."""
NIGHT = 0.4
"""A longer pause between two images [d] ends a night."""
SHADE = "#F1F3F6"


def object_figure(exhibits: Exhibits, row: int) -> Drawing:
    """One object: light curve with first detection, probabilities after each image, stamps under their points (appendix B).

    Parameters
    ----------
    exhibits : Exhibits
    row : int
        Index into ``exhibits.shown``.
    """
    shown = exhibits.shown
    images = _images(shown, row)
    figure = new_figure(max(7.0, 0.42 * len(images) + 2.4), 5.8)
    upper, middle, lower = figure.subplots(3, 1, sharex=True, height_ratios=[2.2, 2.6, 0.48])
    _light_curve(upper, shown, row)
    upper.set_xlabel("")
    _probabilities(middle, exhibits, row)
    middle.tick_params(labelbottom=True)
    middle.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    draw_strip(lower, shown.stamps[row, : len(images)])
    for axes in (upper, middle):
        axes.set_xlim(0.5, len(images) + 0.5)
    _days(upper, shown, row)
    title(upper, f"{shown.object_id[row]} ({long_name(str(shown.label[row]))})")
    reason = {
        "supernova": "shown because its final probability of its class lies at a quartile of the supernovae",
        "failure": "one of the most confidently wrong",
        "typical": "the object of its class with the median final probability of its class",
    }[str(shown.why[row])]
    last = _last(shown, row)
    caption = (
        f"{shown.object_id[row]}, {long_name(str(shown.label[row]))} ({exhibits.data}, protocol {exhibits.protocol}; {reason}). "
        f"{_verdict(exhibits, row, last)} Top: PSF flux with 1-sigma errors{_alert_text(exhibits, row)}; shaded: every other night. "
        f"Middle: probabilities after each image. Bottom: the stamps under their points, on one asinh scale; bad pixels are red."
    )
    return Drawing(figure, caption)


def failure_gallery(exhibits: Exhibits, rows: Sequence[int] | None = None) -> Drawing:
    """The most confidently wrong objects: stamps, light curve and probabilities, one row each.

    Parameters
    ----------
    exhibits : Exhibits
    rows : sequence of int or None
        Indices into ``exhibits.shown``; None: all failures.

    Raises
    ------
    DataError
        If there is none.
    """
    shown = exhibits.shown
    chosen = list(shown.rows("failure") if rows is None else rows)
    if not chosen:
        raise DataError("failure gallery", "no object is classified wrongly", "leave the gallery out")
    figure = new_figure(13.6, 2.15 * len(chosen) + 0.6)
    panels = figure.subplots(len(chosen), 3, squeeze=False, width_ratios=[2.1, 1, 1])
    for (stamps, curve, chances), row in zip(panels, chosen, strict=True):
        images = _images(shown, row)
        draw_strip(stamps, shown.stamps[row, : len(images)], COLUMNS)
        _light_curve(curve, shown, row)
        curve.set_ylabel("flux [counts/s]", color=TEXT)
        _probabilities(chances, exhibits, row)
        last = _last(shown, row)
        best = exhibits.classes[int(last.argmax())]
        title(stamps, f"{shown.object_id[row]}: {long_name(str(shown.label[row]))}, taken for {long_name(best)} ({last.max():.0%})")
        for axes in (curve, chances):
            axes.set_xlim(0.5, len(images) + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            if row != chosen[-1]:
                axes.set_xlabel("")
    handles = [panels[0][2].plot([], [], markersize=4, **class_style(name, exhibits.classes))[0] for name in exhibits.classes]
    names = [long_name(name) for name in exhibits.classes]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    caption = (
        f"The {len(chosen)} most confidently wrong objects of {exhibits.data} (protocol {exhibits.protocol}; highest final "
        f"probability of a wrong class first, a few per true class). Left: stamps in time order, from left to right and top to "
        f"bottom, one asinh scale each, bad pixels red. Middle: PSF flux with 1-sigma errors [counts/s at zero point 25]. Right: "
        f"probability of each class. Dotted: {_alert_word(exhibits)}."
    )
    return Drawing(figure, caption)


def twin_figure(twins: Twins, row: int) -> Drawing:
    """A star and its simulated twin: stamps above each other on one stretch, and their pixel values (appendix A).

    Parameters
    ----------
    twins : Twins
    row : int
    """
    real, twin = (np.asarray(less_rim(stamps[row, np.isfinite(twins.mjd[row])])) for stamps in (twins.real, twins.twin))
    parts = [slice(start, start + COLUMNS) for start in range(0, len(real), COLUMNS)]
    figure = new_figure(13.2, 0.7 + 1.7 * len(parts))
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=[3.4, 1])).flat
    norm = stretch(np.concatenate([real, twin]))
    panels = left.subplots(2 * len(parts), 1, squeeze=False)[:, 0]
    for number, part in enumerate(parts):
        for place, (name, stamps) in enumerate((("real", real), ("simulated", twin))):
            axes = panels[2 * number + place]
            draw_strip(axes, stamps[part], COLUMNS, norm)
            axes.text(0.42, 0.47, name, ha="right", va="center", color=TEXT, fontsize=10)
    chart = right.subplots()
    edges = _edges(real, twin)
    for name, stamps, colour in (("real", real, TEXT), ("simulated", twin, PALETTE[0])):
        seen = stamps[np.isfinite(stamps)]
        chart.hist(seen, bins=edges, histtype="step", color=colour, linewidth=1.5, label=name, weights=np.full(len(seen), 1 / len(seen)))
    tidy(chart, "pixel less sky [ADU]", "share of pixels")
    linear = float(norm.linear_width)
    chart.set_xscale("symlog", linthresh=linear)
    chart.set_xticks([0.0, *(tick for tick in 10.0 ** np.arange(1, 6) if 2 * linear < tick < edges[-1])])
    chart.minorticks_off()
    chart.set_yscale("log")
    chart.legend(frameon=False, loc="upper right")
    left.suptitle(f"{twins.object_id[row]}, {twins.mag[row]:.2f} mag", color=TEXT, fontsize=11, x=0.01, ha="left")
    caption = (
        f"The star {twins.object_id[row]} and a simulated star of its magnitude ({twins.mag[row]:.2f} mag, median PSF photometry) "
        f"under the same reported conditions: {len(real)} images in time order, all stamps on one asinh scale; bad pixels are red. "
        f"Right: distribution of the pixel values, less the median of each stamp's rim."
    )
    return Drawing(figure, caption)


def _edges(real: NDArray[np.float64], twin: NDArray[np.float64]) -> NDArray[np.float64]:
    seen = np.concatenate([real[np.isfinite(real)], twin[np.isfinite(twin)]])
    noise = max(float(1.4826 * np.median(np.abs(seen - np.median(seen)))), 1e-3)
    low, high = np.arcsinh(np.array([seen.min(), seen.max()]) / noise)
    return np.asarray(noise * np.sinh(np.linspace(low, high + 1e-6, 41)))


def _images(shown: Shown, row: int) -> NDArray[np.intp]:
    return np.arange(1, int(np.isfinite(shown.mjd[row]).sum()) + 1)


def _last(shown: Shown, row: int) -> NDArray[np.float32]:
    return np.asarray(shown.probabilities[row, len(_images(shown, row)) - 1])


def _verdict(exhibits: Exhibits, row: int, last: NDArray[np.float32]) -> str:
    best = exhibits.classes[int(last.argmax())]
    word = "Right" if best == str(exhibits.shown.label[row]) else "Wrong"
    return f"{word} at the end: {long_name(best)} with {last.max():.0%}."


def _alert_word(exhibits: Exhibits) -> str:
    return "trigger" if exhibits.protocol == "label_blind" else "first detection"


def _alert_text(exhibits: Exhibits, row: int) -> str:
    image = exhibits.shown.alert[row]
    return f", {_alert_word(exhibits)} at image {image} (dotted)" if image > 0 else ""


def _light_curve(axes: Axes, shown: Shown, row: int) -> None:
    images = _images(shown, row)
    flux, error = shown.flux[row, : len(images)], shown.error[row, : len(images)]
    _nights(axes, shown, row)
    if np.nanmin(flux - error) < 0.3 * np.nanmax(flux):  # else the axis would show little but the distance from 0
        axes.axhline(0, color=PALETTE[6], linewidth=0.8)
    axes.errorbar(images, flux, error, fmt="o", markersize=4, color=TEXT, ecolor=PALETTE[6], elinewidth=1.2, capsize=0)
    tidy(axes, "number of images", "flux [counts/s\nat zero point 25]")
    _mark_alert(axes, shown, row)


def _probabilities(axes: Axes, exhibits: Exhibits, row: int) -> None:
    shown = exhibits.shown
    images = _images(shown, row)
    _nights(axes, shown, row)
    for index, name in enumerate(exhibits.classes):
        style = class_style(name, exhibits.classes)
        axes.plot(images, shown.probabilities[row, : len(images), index], markersize=4, label=long_name(name), **style)
    share_axes(axes, "probability")
    _mark_alert(axes, shown, row)


def _mark_alert(axes: Axes, shown: Shown, row: int) -> None:
    if shown.alert[row] > 0:
        axes.axvline(float(shown.alert[row]), color=TEXT, linewidth=1.2, linestyle=":", zorder=1)


def _nights(axes: Axes, shown: Shown, row: int) -> None:
    """Shades every other night."""
    night = _night(shown, row)
    for number in range(1, int(night.max(initial=0)) + 1, 2):
        places = np.flatnonzero(night == number) + 1
        axes.axvspan(places[0] - 0.5, places[-1] + 0.5, color=SHADE, linewidth=0, zorder=0)


def _night(shown: Shown, row: int) -> NDArray[np.intp]:
    days = shown.mjd[row, : len(_images(shown, row))]
    return np.cumsum(np.diff(days, prepend=days[:1]) > NIGHT)


def _days(axes: Axes, shown: Shown, row: int) -> None:
    """Days since the first image at the first image of each night, on top."""
    night = _night(shown, row)
    first = np.flatnonzero(np.diff(night, prepend=-1))
    days = shown.mjd[row, first] - shown.mjd[row, 0]
    top = axes.secondary_xaxis("top")
    top.set_xticks(first + 1, [f"{day:.1f}" for day in days], fontsize=8)
    top.set_xlabel("days since the first image", color=TEXT, fontsize=9)
    top.spines[:].set_visible(False)
    top.tick_params(colors=TEXT, length=2)

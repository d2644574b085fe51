"""What is simulated, at a glance: brightness, variation, redshifts and periods of the classes, and observing conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from skyreel.evaluate.figures_style import PALETTE, TEXT, Drawing, class_style, new_figure, tidy, title
from skyreel.evaluate.gallery_real import Real
from skyreel.evaluate.gallery_sample import Sample, common_band, gaps
from skyreel.evaluate.names import long_name, short_name
from skyreel.exposures import Exposures
from skyreel.interfaces import Array

BINS = 30


def sky_figure(samples: Mapping[str, Sample], exposures: Exposures, real: Real | None = None) -> Drawing:
    """The population sheet.

    Parameters
    ----------
    samples : mapping of str -> Sample
    exposures : Exposures
        Of random positions of the survey, as reported.
    real : Real or None
        Its conditions are drawn over the survey's.
    """
    band = common_band(exposures)
    name = exposures.bands[band]
    figure = new_figure(13.4, 12.0)
    panels = iter(figure.subplots(4, 3).flat)
    _boxes(next(panels), {k: found.brightness(band) for k, found in samples.items()}, "magnitude", f"magnitude in {name}")
    variation = {k: found.peak_to_peak(band) for k, found in samples.items()}
    _boxes(next(panels), variation, "variation", f"peak to peak in the movie, {name} [mag]")
    _boxes(next(panels), {k: found.exposures.mask.sum(axis=1) for k, found in samples.items()}, "length", "images of a movie")
    histograms(next(panels), _columns(samples, "redshift"), "redshift of the source", "redshift")
    histograms(next(panels), {k: np.log10(v) for k, v in _columns(samples, "period", positive=True).items()}, "period", "log10 period [d]")
    _hosts(next(panels), samples)
    for axes, (heading, label, values) in zip(panels, CONDITIONS, strict=True):
        parts = {band: values(part) for band, part in _by_band(exposures, apart=heading != "gaps").items()}
        _condition(axes, heading, label, parts, None if real is None else values(real.exposures))
    objects = max(map(len, samples.values()))
    caption = (
        f"What is simulated: {objects} objects per class and {len(exposures)} random positions of the survey. Bars of the first three "
        f"panels: 5 to 95 % and 25 to 75 % of the objects, median as a dot. Magnitudes as in figure 1; noiseless variation among "
        f"the images of a movie in one band, where there are two; a source without a redshift or period is in no histogram of it. "
        f"Conditions are those that the survey reports for all its usable exposures, by band where it has several"
    )
    caption += "." if real is None else f"; black: {len(real.movies)} objects of {real.name}."
    return Drawing(figure, caption)


def condition(name: str) -> Callable[[Exposures], Array]:
    """Values (m,) of a column in all exposures that exist."""
    return lambda exposures: np.asarray(getattr(exposures, name)[exposures.mask], np.float64)


def log_sky(exposures: Exposures) -> Array:
    """log10 of the sky [ADU/px] of all exposures that exist: twilight is tens of times as bright as the night."""
    return np.log10(np.maximum(condition("sky")(exposures), 1e-3))


def log_gaps(exposures: Exposures) -> Array:
    """log10 of the pauses between images [d]."""
    return np.log10(np.maximum(gaps(exposures), 1e-6))


CONDITIONS: tuple[tuple[str, str, Callable[[Exposures], Array]], ...] = (
    ("seeing", 'reported seeing ["]', condition("seeing")),
    ("sky", "log10 sky [ADU/px]", log_sky),
    ("zero point", "zero point [mag]", condition("zero_point")),
    ("airmass", "airmass", condition("airmass")),
    ("depth", "5-sigma limit [mag]", condition("limiting_mag")),
    ("gaps", "log10 pause between images [d]", log_gaps),
)
"""Heading, axis and values of the panels of the conditions."""


def percentiles(values: Array) -> Array:
    """5, 25, 50, 75 and 95 % of the finite values."""
    return np.asarray(np.percentile(values[np.isfinite(values)], [5, 25, 50, 75, 95]))


def _boxes(axes: Axes, values: Mapping[str, Array], heading: str, label: str) -> None:
    """One row per class, from the top."""
    names = list(values)
    for row, name in enumerate(names):
        part = np.asarray(values[name], np.float64)
        if not np.isfinite(part).any():
            continue
        low, left, middle, right, high = percentiles(part)
        colour = class_style(name, names)["color"]
        axes.plot([low, high], [row, row], color=colour, linewidth=1.5)
        axes.plot([left, right], [row, row], color=colour, linewidth=6, solid_capstyle="butt")
        axes.plot(middle, row, marker="o", markersize=6, markerfacecolor="white", markeredgecolor=colour)
    tidy(axes, label, "")
    axes.set_yticks(range(len(names)), [long_name(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    title(axes, heading)
    if not any(np.isfinite(np.asarray(part, np.float64)).any() for part in values.values()):
        _nothing(axes)


def _columns(samples: Mapping[str, Sample], column: str, *, positive: bool = False) -> dict[str, Array]:
    """The finite values of a parameter in the classes that have it."""
    out = {}
    for name, found in samples.items():
        values = np.asarray(found.params.get(column, ()))
        if values.dtype.kind in "fiu" and values.size:
            kept = values[np.isfinite(values) & ((values > 0) | (not positive))].astype(np.float64)
            if len(kept):
                out[name] = kept
    return out


def histograms(axes: Axes, values: Mapping[str, Array], heading: str, label: str) -> None:
    """A histogram per class, each scaled to its largest bin: shapes are compared, not numbers."""
    tidy(axes, label, "objects, scaled")
    title(axes, heading)
    if not values:
        _nothing(axes)
        return
    edges = edges_of(np.concatenate(list(values.values())))
    for name, part in values.items():
        count = np.histogram(part, edges)[0]
        style = class_style(name, list(values))
        look = {"color": style["color"], "linestyle": style["linestyle"]}
        axes.stairs(count / max(count.max(), 1), edges, linewidth=1.5, label=short_name(name), **look)
    axes.set_ylim(0, 1.08)
    axes.legend(frameon=False, fontsize=8)


def _hosts(axes: Axes, samples: Mapping[str, Sample]) -> None:
    names = list(samples)
    share = [float(found.host.mean()) for found in samples.values()]
    axes.barh(range(len(names)), share, color=[class_style(name, names)["color"] for name in names], height=0.65)
    for row, value in enumerate(share):
        axes.text(value + 0.02, row, f"{value:.0%}", va="center", fontsize=9, color=TEXT)
    tidy(axes, "share of the objects", "")
    axes.set_yticks(range(len(names)), [long_name(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.15)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    title(axes, "with a galaxy in the stamp")


def _by_band(exposures: Exposures, *, apart: bool) -> dict[str, Exposures]:
    """The exposures of each band that is in use; all together where there is one, or where they are not to be kept apart."""
    used = np.unique(exposures.band[exposures.mask])
    if len(used) == 1 or not apart:
        return {"simulated": exposures}
    return {exposures.bands[k]: exposures.replace(mask=exposures.mask & (exposures.band == k)) for k in used}


def _condition(axes: Axes, heading: str, label: str, values: Mapping[str, Array], real: Array | None) -> None:
    """A histogram per band, and the real objects'."""
    tidy(axes, label, "share of the exposures")
    title(axes, heading)
    held = {name: part for name, part in {**values, "real": np.zeros(0) if real is None else real}.items() if len(part)}
    if not held:  # one exposure an object has no pauses
        _nothing(axes)
        return
    edges = edges_of(np.concatenate(list(held.values())))
    for number, (name, part) in enumerate(held.items()):
        share = np.histogram(part, edges)[0] / len(part)
        alone = len(values) == 1 and name != "real"
        colour = TEXT if name == "real" else PALETTE[number % len(PALETTE)]
        axes.stairs(share, edges, color=colour, linewidth=1.5, fill=alone, alpha=0.55 if alone else 1, label=name)
    if len(held) > 1:
        axes.legend(frameon=False, fontsize=8)


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "none", ha="center", va="center", color=TEXT, transform=axes.transAxes)
    axes.set(xticks=[], yticks=[])


def edges_of(values: Array) -> Array:
    """Bins that hold all but the outermost 0.2 % on either side."""
    low, high = np.percentile(values[np.isfinite(values)], [0.2, 99.8])
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)

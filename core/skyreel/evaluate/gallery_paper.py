"""Figures 1, 2 and 3 of Carrasco-Davis et al. 2018, drawn from a simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.evaluate.figures_style import GRID, TEXT, Drawing, class_style, new_figure, tidy, title
from skyreel.evaluate.gallery_movie import Shown, band_style, bands_of, draw_true, period_of, whole_movie
from skyreel.evaluate.gallery_real import Real
from skyreel.evaluate.gallery_sample import SPLIT, Sample, chosen, common_band, signal_to_noise
from skyreel.evaluate.names import long_name
from skyreel.interfaces import Array, Source
from skyreel.seeding import BLOCK
from skyreel.simulate.chain import Simulation
from skyreel.simulate.truth_images import truth_images

CLEAR_SIGNAL = 100.0
"""Signal to noise of the frame of figure 3, about."""
FAINTEST = 2.0
"""Signal to noise below which a measurement is not drawn as a magnitude."""
BIN = 0.5
"""Width of a bin of magnitude [mag]."""


# ------------------------------------------------------------------------------------------------- figure 1


def magnitude_figure(samples: Mapping[str, Sample], real: Real | None = None) -> Drawing:
    """Figure 1: density of the magnitudes of each class; of real objects in a second panel.

    Parameters
    ----------
    samples : mapping of str -> Sample
    real : Real or None
        Its supernovae are left out: the light of their galaxies is part of what is measured.
    """
    band = common_band(next(iter(samples.values())).exposures)
    bands = next(iter(samples.values())).exposures.bands
    mags = {name: found.brightness(band) for name, found in samples.items()}
    theirs = {} if real is None else {name: real.mag[real.movies.label == name] for name in real.labels if name != "supernova"}
    edges = magnitude_edges([*mags.values(), *theirs.values()])
    figure = new_figure(8.5, 4.6 if real is None else 7.4)
    panels = figure.subplots(1 if real is None else 2, 1, sharex=True, squeeze=False)[:, 0]
    _densities(panels[0], mags, edges)
    title(panels[0], "simulated")
    if real is not None:
        _densities(panels[1], theirs, edges)
        title(panels[1], f"real: {real.name}")
    for axes in panels:
        axes.set_xlim(edges[0], edges[-1])
        tidy(axes, "", "density [1/mag]")
    panels[-1].set_xlabel(f"magnitude in {bands[band]}", color=TEXT)
    objects = max(map(len, samples.values()))
    caption = (
        f"Density of magnitudes (figure 1 of the paper), {objects} simulated objects per class: the brightest noiseless magnitude among an "
        f"object's images for classes that raise alerts, the median for the others, the galaxy's total magnitude for galaxies."
    )
    if real is not None:
        caption += (
            " Real: median PSF magnitude of each object. These objects were chosen by eye and by catalogue, and need not follow the sky's."
        )
    return Drawing(figure, caption)


def magnitude_edges(values: Sequence[Array]) -> Array:
    """Edges of bins that hold all finite values.

    Raises
    ------
    DataError
        If none is finite.
    """
    seen = np.concatenate([part[np.isfinite(part)] for part in values])
    if not seen.size:
        raise DataError("magnitudes of the gallery", "no object gives light", "choose classes that can be seen")
    return np.arange(np.floor(seen.min() / BIN), np.ceil(seen.max() / BIN) + 1.5) * BIN


def _densities(axes: Axes, mags: Mapping[str, Array], edges: Array) -> None:
    for name, values in mags.items():
        seen = values[np.isfinite(values)]
        if not len(seen):
            continue
        style = class_style(name, list(mags))
        density = np.histogram(seen, edges)[0] / (len(seen) * BIN)
        label = f"{long_name(name)} ({len(seen)})"
        axes.stairs(density, edges, color=style["color"], linestyle=style["linestyle"], linewidth=1.5, label=label)
    axes.legend(frameon=False, fontsize=9, loc="upper left")


# ------------------------------------------------------------------------------------------------- figure 2


def light_curve_figure(items: Mapping[str, Shown], sources: Mapping[str, Source], real: Real | None = None) -> Drawing:
    """Figure 2: a light curve of each class that gives light of its own; real ones, measured, below.

    Parameters
    ----------
    items : mapping of str -> Shown
    sources : mapping of str -> Source
    real : Real or None

    Raises
    ------
    DataError
        If no object gives light.
    """
    lit = [name for name, item in items.items() if (item.truth > 0).any()]
    if not lit:
        raise DataError("light curves of the gallery", "no object gives light of its own", "leave the figure out")
    theirs = () if real is None else real.labels
    columns = min(3, max(len(lit), len(theirs)))
    rows = -(-len(lit) // columns)
    more = -(-len(theirs) // columns)
    figure = new_figure(4.2 * columns + 0.4, 2.7 * (rows + more) + 0.4)
    panels = figure.subplots(rows + more, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_visible(False)
    for axes, name in zip(panels[:rows].flat, lit, strict=False):
        _simulated_curve(axes, items[name], sources[name])
    if real is not None:
        for axes, name in zip(panels[rows:].flat, theirs, strict=False):
            _real_curve(axes, real, real.typical(name))
    caption = (
        "Light curves (figure 2 of the paper), one object per class at the dates of its images: noiseless magnitudes (points) on the "
        "smooth light curve (line), and what photometry of the images gives (grey, 1-sigma errors; left out: points below "
        f"{FAINTEST:g} sigma, which have no useful magnitude, and objects on a galaxy, whose light would be part of it). Periods shorter "
        f"than the movie are folded."
    )
    if real is not None:
        names = ", ".join(str(real.movies.object_id[real.typical(name)]) for name in theirs)
        caption += f" Real: PSF magnitudes of {real.name}, the object of median magnitude of each class ({names})."
    return Drawing(figure, caption)


def _simulated_curve(axes: Axes, item: Shown, source: Source) -> None:
    axes.set_visible(True)
    period, reported = period_of(item), item.movies.reported
    colour = class_style(item.label, [item.label])["color"]
    mags, errors = item.curve.magnitudes()
    for band in bands_of(reported, item.usable):
        here = item.usable & (reported.band[0] == band) & (item.curve.snr[0] >= FAINTEST)
        x = item.days[here] if period is None else item.days[here] / period % 1
        if not item.on_galaxy:
            axes.errorbar(x, mags[0, here], errors[0, here], fmt=".", markersize=3, color="#AAAAAA", elinewidth=1, zorder=1)
        colours = {} if item.several_bands else {"color": colour, "marker": "o"}
        draw_true(axes, item, source, band, **colours)
    tidy(axes, "days" if period is None else f"phase (period {period:.4g} d)", "magnitude")
    title(axes, f"{long_name(item.label)}, {''.join(reported.bands[k] for k in bands_of(reported, item.usable))}")
    _limits(axes, item)
    whole_movie(axes, item)
    if item.several_bands:
        axes.legend(frameon=False, fontsize=8)


def _limits(axes: Axes, item: Shown) -> None:
    """A range of magnitudes that holds what the source does while it can be seen, and its surer points, but no wild one."""
    smooth = [np.asarray(line.get_ydata(), np.float64) for line in axes.lines if line.get_linestyle() == "-"]
    lit = item.truth[item.usable & (item.truth > 0)]
    true = np.concatenate([item.curve.zero_point - 2.5 * np.log10(lit), *(part[np.isfinite(part)] for part in smooth)])
    brightest = float(true.min())
    limit = float(np.median(item.movies.reported.limiting_mag[0][item.usable]))
    sure = item.curve.magnitudes()[0][item.curve.snr >= (np.inf if item.on_galaxy else 5)]
    low = max(float(sure.min(initial=brightest)), brightest - 1)
    high = min(float(true.max()), max(limit + 1.5, brightest + 0.5))
    margin = max(0.15 * (high - low), 0.2)
    axes.set_ylim(high + margin, low - margin)


def _real_curve(axes: Axes, real: Real, row: int) -> None:
    axes.set_visible(True)
    mags, errors = (values[row] for values in real.curves.magnitudes())
    label, bands = str(real.movies.label[row]), real.movies.reported.bands
    seen = np.isfinite(mags)
    first = real.curves.mjd[row][seen].min() if seen.any() else 0.0
    for band in np.unique(real.curves.band[row][seen]):
        here = seen & (real.curves.band[row] == band)
        style = band_style(bands, int(band)) | ({"color": class_style(label, [label])["color"]} if len(bands) == 1 else {})
        axes.errorbar(real.curves.mjd[row][here] - first, mags[here], errors[here], fmt=style["marker"], markersize=3, color=style["color"])
    tidy(axes, "days", "magnitude")
    axes.invert_yaxis()
    title(axes, f"real {long_name(label)}")


# ------------------------------------------------------------------------------------------------- figure 3


def example_frame(simulation: Simulation, samples: Mapping[str, Sample]) -> tuple[str, int, int]:
    """Class, row in its first block and frame that figure 3 shows.

    A supernova with a galaxy as in the paper; without that class, or without a galaxy in its first block, the nearest
    thing to it. Of these the object nearest to a signal to noise of 100 in its best frame, and that frame.
    """

    def rank(label: str) -> tuple[bool, bool, bool]:
        found = samples[label]
        return (label != "supernova", not (found.shines and found.host[:BLOCK].any()), not found.triggers)

    label = min(samples, key=rank)
    found = samples[label]
    rows = np.flatnonzero(found.host[:BLOCK])
    if not len(rows):
        rows = chosen(found, 1, "clear")
    signal = signal_to_noise(found)[rows]
    best = int(np.abs(np.log(np.maximum(signal.max(axis=1), 1e-3) / CLEAR_SIGNAL)).argmin())
    return label, int(rows[best]), int(signal[best].argmax())


def pipeline_figure(simulation: Simulation, samples: Mapping[str, Sample]) -> Drawing:
    """Figure 3: source, galaxy, their sum with the sky, and the image with noise, of one exposure of one object."""
    label, row, frame = example_frame(simulation, samples)
    images = truth_images(simulation, SPLIT, label, 0)
    movies = simulation.block(SPLIT, label, 0)
    assert movies.truth is not None
    source = movies.truth.flux[row, frame] * images.psf[row, frame]
    host, sky = images.host[row, frame], float(images.sky[row, frame])
    noisy = movies.pixels[row, frame, 0].astype(np.float64)
    expected = source + host + sky
    names = ("source image", "+ galaxy", "= source + galaxy", f"+ sky ({sky:.0f} ADU)", "image with noise")
    figure = new_figure(13.4, 3.3)
    panels = figure.subplots(1, len(names))
    level = [float(np.concatenate([expected.ravel(), noisy.ravel()]).min()), float(np.percentile(np.stack([expected, noisy]), 99.9))]
    light = [0.0, max(float(np.max(source + host)), 1.0)]
    for number, (axes, name, image) in enumerate(zip(panels, names, (source, host, source + host, expected, noisy), strict=True)):
        _panel(axes, image, name, light if number < 3 else level)
    for axes in (panels[2], panels[4]):
        bar = figure.colorbar(axes.images[0], ax=axes, fraction=0.046, pad=0.03)
        bar.set_label("ADU", color=TEXT, fontsize=9)
        bar.ax.tick_params(labelsize=8, colors=TEXT)
    host_text = "with its galaxy" if bool(movies.truth.host[row]) else "without a galaxy"
    caption = (
        f"How an image comes about (figure 3 of the paper): {long_name(label)} {movies.object_id[row]} {host_text}, image {frame + 1}. "
        f"{movies.truth.flux[row, frame]:.0f} ADU of the source spread by the PSF; the galaxy; both; the sky as a constant; photon and "
        f"readout noise. The first three share one linear grey scale, the last two another."
    )
    return Drawing(figure, caption)


def _panel(axes: Axes, image: NDArray[np.floating], name: str, limits: Sequence[float]) -> None:
    axes.imshow(image, cmap="gray", vmin=limits[0], vmax=max(limits[1], limits[0] + 1), origin="lower", interpolation="nearest")
    title(axes, name)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(GRID)

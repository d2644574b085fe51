"""How far true HiTS conditions lie from reported ones: the jitters of config group `simulation`, from constant stars.

``python -m skyreel_hits.fit_jitters --data DIR``: DIR holds ``conditions.ecsv`` and ``dev/*.npz`` (repacked from
github.com/rodrigcd/HiTS_simulations, commit 275198b, MIT licence); the development fields alone are read.

Three things are measured on every stamp: magnitude minus the star's catalogue magnitude, width of a fitted Gaussian over the
reported width, border sky over reported sky. Each is taken apart into what all stars of an exposure share, what a star has in
all exposures, and the rest. Twins, simulated under the same conditions without any jitter, go through the same measurement;
what the real stars show beyond them, in variance, is the jitter. Magnitudes come last, with twins whose widths jitter already: a
wrong width costs light.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skyreel.datasets import load_dataset
from skyreel.errors import DatasetError
from skyreel.exchange.star_widths import fit_stars
from skyreel.hydra_glue import compose
from skyreel.light_curves import PhotometryOptions, measure
from skyreel.movies import Movies
from skyreel.simulate.chain import Simulation
from skyreel.simulate.options import SCATTERS
from skyreel.simulate.run import build, simulation_config
from skyreel.simulate.twins import twin

Array = NDArray[np.float64]

LABEL = "non_variable"
QUANTITIES = ("magnitude", "width", "sky")
PARTS = ("exposure", "object", "rest")
MIN_STARS = 15
"""Stars of an exposure that make its common part known."""
MIN_FRAMES = 8
"""Frames of a star that make its own part known."""
ROUNDS = 20
CLIP = 5.0
"""Measurements farther than this many robust standard deviations from the parts are outliers."""
RESAMPLES = 300
ROBUST = 1.4826
"""Standard deviation of normal deviates over their median absolute deviation."""
MAX_SEEING = 2.0
"""Worse exposures are not simulated [arcsec]."""
NONE = dict.fromkeys(SCATTERS, 0.0) | {"sky_level": 1.0}


@dataclass(frozen=True)
class Stars:
    """Constant stars: movies of n objects, catalogue magnitude (n,), exposure number (n, T), -1 where a frame is not used."""

    movies: Movies
    mag: Array
    exposure: NDArray[np.int64]


@dataclass(frozen=True)
class Components:
    """Variances of one quantity and where they were found.

    Attributes
    ----------
    exposure, object : float (E,), float (n,)
        What each exposure and each object has for itself; NaN where too few measurements say so.
    rest : float (n, T)
        What is left; NaN where nothing was measured.
    stars, frames : float
        Measurements per exposure and per object (harmonic means).
    """

    exposure: Array
    object: Array
    rest: Array
    stars: float
    frames: float


def robust(values: Array) -> float:
    """Variance of the normal distribution with the same median absolute deviation."""
    known = values[np.isfinite(values)]
    return float((ROBUST * np.median(np.abs(known - np.median(known)))) ** 2)


def _medians(values: Array, group: NDArray[np.intp], count: int, least: int) -> Array:
    """Median of each group with at least `least` values; NaN for others."""
    known = np.isfinite(values)
    order = np.lexsort((values[known], group[known]))
    sorted_values = values[known][order]
    size = np.bincount(group[known], minlength=count)
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    out = np.full(count, np.nan)
    full = size >= least
    low, high = (start + (size - 1) // 2)[full], (start + size // 2)[full]
    out[full] = 0.5 * (sorted_values[low] + sorted_values[high])
    return out


def _means(values: Array, group: NDArray[np.intp], count: int, least: int) -> Array:
    """Mean of each group with at least `least` values; NaN for others."""
    known = np.isfinite(values)
    size = np.bincount(group[known], minlength=count)
    total = np.bincount(group[known], values[known], minlength=count)
    return np.where(size >= least, total / np.maximum(size, 1), np.nan)


def _two_way(
    average: Callable[[Array, NDArray[np.intp], int, int], Array],
    flat: Array,
    number: NDArray[np.intp],
    owner: NDArray[np.intp],
    count: int,
    n: int,
) -> tuple[Array, Array, Array]:
    """Parts of `count` exposures and n objects, and the rest, by turns until they settle."""
    of_object = np.zeros(n)
    for _ in range(ROUNDS):
        of_exposure = average(flat - of_object[owner], number, count, MIN_STARS)
        of_object = average(flat - of_exposure[number], owner, n, MIN_FRAMES)
    return of_exposure, of_object, flat - of_exposure[number] - of_object[owner]


def components(value: Array, exposure: NDArray[np.int64]) -> Components:
    """Takes `value` (n, T) apart, without outliers: value = exposure's part + object's part + rest.

    Parameters
    ----------
    value : (n, T)
        NaN where nothing was measured.
    exposure : int (n, T)
        0..E-1, equal for all objects of one exposure; negative where a frame is not used.

    Raises
    ------
    DatasetError
        If no exposure holds `MIN_STARS` stars with `MIN_FRAMES` frames each.
    """
    n = len(value)
    value = np.where(exposure >= 0, value, np.nan)
    number, owner = np.maximum(exposure, 0).ravel(), np.repeat(np.arange(n), value.shape[1])
    count = int(number.max(initial=0)) + 1
    flat = value.ravel()
    rest = _two_way(_medians, flat, number, owner, count, n)[2]
    known = np.isfinite(rest)
    if known.any():  # medians find the outliers, means the parts: a residual about a median is too often 0
        flat = np.where(known & (np.abs(rest) < CLIP * np.sqrt(robust(rest))), flat, np.nan)
    of_exposure, of_object, rest = _two_way(_means, flat, number, owner, count, n)
    known = np.isfinite(rest)
    if not known.any():
        asked = f"exposures with {MIN_STARS} constant stars of {MIN_FRAMES} frames"
        raise DatasetError(asked, f"none among {n} stars", "hand in the development fields of hits2015a with --data")
    per_exposure, per_object = np.bincount(number[known]), np.bincount(owner[known])
    stars, frames = (float(1 / np.mean(1 / size[size > 0])) for size in (per_exposure, per_object))
    return Components(of_exposure, of_object, rest.reshape(value.shape), stars, frames)


def variances(found: Components) -> dict[str, float]:
    """Variance of each of `PARTS`; the means of N noisy measurements scatter by themselves, by rest / N, and take freedom from the rest."""
    known = np.isfinite(found.rest).sum()
    fitted = np.isfinite(found.exposure).sum() + np.isfinite(found.object).sum()
    rest = robust(found.rest) * float(known / (known - fitted))
    return {
        "exposure": robust(found.exposure) - rest / found.stars,
        "object": robust(found.object) - rest / found.frames,
        "rest": rest,
    }


def spreads(found: Components) -> dict[str, float]:
    """Standard error of each variance: exposures and objects drawn with replacement."""
    rng = np.random.default_rng(0)
    objects = np.flatnonzero(np.isfinite(found.rest).any(axis=1))
    drawn: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(RESAMPLES):
        drawn["exposure"].append(robust(rng.choice(found.exposure, len(found.exposure))))
        rows = rng.choice(objects, len(objects))
        drawn["object"].append(robust(found.object[rows]))
        drawn["rest"].append(robust(found.rest[rows]))
    return {part: float(np.std(values)) for part, values in drawn.items()}


def read_stars(folder: Path) -> Stars:
    """Usable frames of the constant stars of the development fields."""
    data = load_dataset("hits2015a", folder)
    rows = np.flatnonzero((data.movies.label == LABEL) & np.isfinite(data.columns["mean_mag"]))
    movies = data.movies.take(rows)
    usable = movies.frame_mask & movies.reported.mask & (movies.reported.seeing < MAX_SEEING)
    movies = replace(movies, frame_mask=usable, reported=movies.reported.replace(mask=usable), truth=None)
    exposure = np.full(usable.shape, -1)
    exposure[usable] = np.unique(movies.reported.exposure_id[usable], return_inverse=True)[1]
    return Stars(movies, np.asarray(data.columns["mean_mag"], np.float64)[rows], exposure)


def simulation(options: Mapping[str, float]) -> Simulation:
    """The default simulation of constant stars with some options of config group `simulation`."""
    overrides = [f"simulation.{name}={value}" for name, value in options.items()]
    return build(
        simulation_config(compose("simulate", [f"source=[{LABEL}]", "psf=empirical", "simulation.centring=per_frame", *overrides]))
    )


def simulated(stars: Stars, options: Mapping[str, float]) -> Stars:
    """Twins of the stars: their frames in the same places."""
    chain = simulation(options)
    rows = np.flatnonzero(stars.movies.frame_mask.any(axis=1))
    names = [str(stars.movies.object_id[k]) for k in rows]
    made = [
        twin(chain, stars.movies.reported.take([k]), LABEL, float(stars.mag[k]), name=name) for k, name in zip(rows, names, strict=True)
    ]
    movies = Movies.concatenate(made)
    exposure = np.full(movies.frame_mask.shape, -1)
    exposure[movies.frame_mask] = stars.exposure[rows][stars.movies.frame_mask[rows]]
    return Stars(movies, stars.mag[rows], exposure)


def measured(stars: Stars) -> dict[str, Components]:
    """Components of magnitude [mag], logarithm of width and logarithm of sky."""
    movies, mask = stars.movies, stars.movies.frame_mask
    curves = measure(movies, PhotometryOptions(centre="frame"))
    reported = movies.reported
    noise = np.sqrt(reported.sky / reported.gain + (reported.read_noise / reported.gain) ** 2)
    pixels = movies.pixels[:, :, 0][mask].astype(np.float32)
    good = movies.pixel_mask[:, :, 0][mask] == 0
    fits = fit_stars(pixels, good, reported.sky[mask].astype(np.float64), noise[mask].astype(np.float64))
    width = np.full(mask.shape, np.nan)
    width[mask] = np.log(fits.fwhm / reported.psf_fwhm[mask])
    flawless = curves.mask & (curves.flags == 0)
    sky = np.full(mask.shape, np.nan)
    sky[flawless] = np.log(curves.sky[flawless] / reported.sky[flawless])
    values = (np.where(flawless, curves.magnitudes()[0] - stars.mag[:, None], np.nan), width, sky)
    return {name: components(value, stars.exposure) for name, value in zip(QUANTITIES, values, strict=True)}


def excess(real: Components, twins: Components) -> dict[str, tuple[float, float]]:
    """Square root of the real variance beyond the twins', and its standard error, for each of `PARTS`; 0 if there is none."""
    one, other, error, noise = variances(real), variances(twins), spreads(real), spreads(twins)
    out = {}
    for part in PARTS:
        beyond = max(one[part] - other[part], 0.0)
        uncertain = float(np.hypot(error[part], noise[part]))
        size = float(np.sqrt(beyond))
        out[part] = (size, uncertain / (2 * size) if size**2 > uncertain else float(np.sqrt(uncertain)))
    return out


def fit_jitters(stars: Stars) -> tuple[dict[str, tuple[float, float]], dict[str, dict[str, tuple[float, float]]]]:
    """Recommended options of config group `simulation`, with standard errors, and the excess of every part of every quantity."""
    real, still = measured(stars), measured(simulated(stars, NONE))
    parts = {name: excess(real[name], still[name]) for name in ("width", "sky")}
    names = {"width": ("psf_width_jitter", "psf_width_scatter", "psf_width_residual"), "sky": ("sky_common", "sky_offset", "sky_jitter")}
    found = {option: parts[name][part] for name, options in names.items() for option, part in zip(options, PARTS, strict=True)}
    found["sky_level"] = level(real["sky"], still["sky"])
    options = NONE | {name: round(size, 4) for name, (size, _) in found.items()}
    parts["magnitude"] = excess(real["magnitude"], measured(simulated(stars, options))["magnitude"])
    return found | {"zero_point_jitter": parts["magnitude"]["exposure"], "zero_point_scatter": parts["magnitude"]["rest"]}, parts


def level(real: Components, twins: Components) -> tuple[float, float]:
    """Ratio of the real to the twins' typical value of a quantity measured as a logarithm, and its standard error over exposures."""
    shift = np.exp(real.exposure - twins.exposure)
    shift = shift[np.isfinite(shift)]
    of_object = np.exp(np.nanmedian(real.object) - np.nanmedian(twins.object))
    return float(np.median(shift) * of_object), float(1.25 * np.std(shift) / np.sqrt(len(shift)))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with conditions.ecsv and dev/*.npz")
    stars = read_stars(parser.parse_args().data)
    recommended, parts = fit_jitters(stars)
    frames = int((stars.exposure >= 0).sum())
    print(f"{len(stars.mag)} constant stars, {frames} frames of {stars.exposure.max() + 1} exposures\n")
    print("| beyond the twins | " + " | ".join(PARTS) + " |\n|" + "---|" * (len(PARTS) + 1))
    for name in QUANTITIES:
        print(f"| {name} | " + " | ".join("{:.4f} ± {:.4f}".format(*parts[name][part]) for part in PARTS) + " |")
    print("\n| option | value |\n|---|---|")
    for option, (size, error) in recommended.items():
        print(f"| {option} | {size:.4f} ± {error:.4f} |")


if __name__ == "__main__":
    main()

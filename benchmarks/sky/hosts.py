"""How many supernovae show a host before they explode and how many stars a neighbour, and which shares of galaxies give as many.

Run as ``python benchmarks/sky/hosts.py --data DIR``. The share of objects that show something is linear in the share with a
galaxy: one simulation with a galaxy in every stamp and one without any give the share to choose. Development fields only; no
setting was tried and chosen on them. Stamps: g images with a reported seeing below 2 arcsec, real and simulated; of supernovae
those of the first night, where the first detection comes two days later or more, or all before it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyreel.hydra_glue import compose
from skyreel.interfaces import Array
from skyreel.movies import Movies
from skyreel.simulate.run import build, simulation_config

Choice = Callable[[Array, float], Array]
"""Which images, bool, from their MJDs and that of the first detection."""

SIZE = 21
GAIN, READ_NOISE = 4.0, 6.1
"""Of the real stamps: electron / ADU and electron, the means of the six CCDs whose constants are public."""
QUIET = 2.0
"""Supernovae detected sooner after the first image than this [d] may have shown in the first night already."""
FAR = 7.0
"""Distance from a star [px] beyond which neighbours are looked for."""
LIMIT = 10.0
"""Significance of a neighbour: what a star's own wings leave reaches it in 3 % of simulated stars, 6 sigma in a quarter."""
BLOCKS = 8
RADIUS = np.hypot(*(np.indices((SIZE, SIZE)) - SIZE // 2))
BORDER = np.max(np.abs(np.indices((SIZE, SIZE)) - SIZE // 2), axis=0) >= SIZE // 2 - 2


@dataclass(frozen=True)
class Stack:
    """Images of one object: counts (F, 21, 21) [ADU], width [px] and zero point (F,), variance of empty pixels (F,) [ADU2]."""

    stamps: Array
    width: Array
    zero_point: Array
    variance: Array


def sky_level(stamps: Array) -> Array:
    """Median of the outer three pixels of each stamp without outliers, (F,) [ADU]."""
    values = stamps[:, BORDER]
    middle = np.median(values, axis=1, keepdims=True)
    spread = 1.4826 * np.median(np.abs(values - middle), axis=1, keepdims=True)
    return np.asarray(np.nanmedian(np.where(np.abs(values - middle) < 3 * spread, values, np.nan), axis=1))


def significance(stack: Stack) -> float:
    """Flux of a Gaussian star in the central pixel over its error, all images together; photon and read noise of empty sky."""
    star = np.exp(-4 * np.log(2) * RADIUS**2 / stack.width[:, None, None] ** 2)
    star /= star.sum(axis=(1, 2), keepdims=True)
    square = (star**2).sum(axis=(1, 2))
    light = stack.stamps - sky_level(stack.stamps)[:, None, None]
    scale = 10 ** (-0.4 * stack.zero_point)
    flux = scale * (light * star).sum(axis=(1, 2)) / square
    # The median sky of the border has pi / 2 times the variance of its mean.
    variance = scale**2 * stack.variance / square * (1 + np.pi / 2 / BORDER.sum() / square)
    return float((flux / variance).sum() / np.sqrt((1 / variance).sum()))


def brightest_pixel(stack: Stack) -> float:
    """Largest pixel of the mean image over its error."""
    light = (stack.stamps - sky_level(stack.stamps)[:, None, None]).mean(axis=0)
    return float(light.max() / np.sqrt(stack.variance.sum()) * len(stack.stamps))


def neighbour(stack: Stack) -> float:
    """Largest mean of 3 x 3 px of the mean image less its rings' medians, further than `FAR` from the star, over its error.

    The error is the larger of the photon noise and the scatter of such means, which holds what stars that are not round leave.
    """
    light = (stack.stamps - sky_level(stack.stamps)[:, None, None]).mean(axis=0)
    ring = np.round(RADIUS).astype(int)
    level = np.array([np.median(light[ring == k]) for k in range(ring.max() + 1)])[ring]
    mean = np.lib.stride_tricks.sliding_window_view(light - level, (3, 3)).mean(axis=(2, 3))
    far = mean[RADIUS[1:-1, 1:-1] > FAR]
    scatter = 1.4826 * np.median(np.abs(far - np.median(far)))
    photons = np.sqrt(stack.variance.mean() / len(stack.stamps) / 9)
    return float(far.max() / max(scatter, photons))


def first_night(mjd: Array, detection: float) -> Array:
    """Images (F,) bool of the first night; none where the first detection comes less than `QUIET` days later."""
    return (mjd < mjd.min() + 0.5) & (detection > mjd.min() + QUIET)


def all_before(mjd: Array, detection: float) -> Array:
    """Images (F,) bool before the first detection."""
    return mjd < detection


def every(mjd: Array, detection: float) -> Array:
    """All images (F,)."""
    return np.ones(len(mjd), bool)


def real(data: Path, label: str, chosen: Choice) -> tuple[list[Stack], Array]:
    """Stacks of the real objects of a class, of the images `chosen`, and their fields."""
    table = np.load(data / "hits2015a" / "dev" / f"{label}.npz")
    good = (table["cond_seeing_arcsec"] < 2) & ~table["frame_blank"].astype(bool)
    good &= (table["frame_n_bad_pixels"] == 0) & np.isfinite(table["cond_zero_point"])
    stacks, fields = [], []
    for k, (start, count) in enumerate(zip(table["obj_start"], table["obj_n"], strict=True)):
        alert = np.inf
        if label == "supernova":
            if not table["obj_lc_usable"][k] or table["obj_first_det5"][k] < 0:
                continue
            alert = table["obj_first_det5_mjd"][k]
        frames = np.arange(start, start + count)
        frames = frames[good[frames]]
        frames = frames[chosen(table["frame_mjd"][frames], alert)] if len(frames) else frames
        if len(frames) < 2:
            continue
        stamps = table["stamps"][frames].astype(float)
        width = 3.160 * table["cond_seeing_arcsec"][frames] - 0.064
        variance = sky_level(stamps) / GAIN + (READ_NOISE / GAIN) ** 2
        stacks.append(Stack(stamps, width, table["cond_zero_point"][frames], variance))
        fields.append(int(table["obj_field"][k]))
    return stacks, np.array(fields)


def movies_of(label: str, fraction: float, seed: int, *overrides: str) -> list[Movies]:
    """`BLOCKS` blocks of one class; the movies of supernovae begin with the season."""
    given = [f"source=[{label}]", f"source.{label}.host_fraction={fraction}", f"seed={seed}", *overrides]
    sim = build(simulation_config(compose("simulate", [*given, "sequence.before_alert=60", "sequence.max_images=80"])))
    return [sim.block("hosts", label, block) for block in range(BLOCKS)]


def simulated(blocks: list[Movies], chosen: Choice) -> list[Stack]:
    """Stacks of the images `chosen` of simulated objects."""
    stacks = []
    for movies in blocks:
        e = movies.reported
        for k, first in enumerate(movies.first_detection):
            frames = np.flatnonzero(movies.frame_mask[k])
            frames = frames[chosen(e.mjd[k, frames], e.mjd[k, first] if first >= 0 else np.inf)]
            if len(frames) < 2:
                continue
            variance = e.sky[k, frames] / e.gain[k, frames] + (e.read_noise[k, frames] / e.gain[k, frames]) ** 2
            stacks.append(Stack(movies.pixels[k, frames, 0].astype(float), e.psf_fwhm[k, frames], e.zero_point[k, frames], variance))
    return stacks


def interval(seen: Array, field: Array, seed: int = 0) -> tuple[float, float]:
    """95 % interval of a share when fields are drawn with replacement."""
    rng = np.random.default_rng(seed)
    names = np.unique(field)
    counts = np.array([[(field == name).sum(), seen[field == name].sum()] for name in names])
    total, hits = counts[rng.integers(0, len(names), (2000, len(names)))].sum(axis=1).T
    low, high = np.percentile(hits / total, [2.5, 97.5])
    return float(low), float(high)


def row(name: str, seen: Array, field: Array, with_host: Array, without: Array) -> str:
    """One line of a table: the real share, the simulated ones, and the share of galaxies that gives the real one."""
    low, high = interval(seen, field)
    fraction = [(share - without.mean()) / (with_host.mean() - without.mean()) for share in (seen.mean(), low, high)]
    return (
        f"| {name} | {seen.sum()} of {len(seen)}, {seen.mean():.0%} ({low:.0%} to {high:.0%}) | {with_host.mean():.0%} | "
        f"{without.mean():.1%} | {fraction[0]:.2f} ({fraction[1]:.2f} to {fraction[2]:.2f}) |"
    )


HEAD = (
    "| | real, with 95 % interval over fields | simulated, every one with a galaxy | none with a galaxy | share to choose |\n"
    "|---|---|---|---|---|"
)


def main() -> None:
    """Prints two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with hits2015a")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"Hosts of supernovae; {BLOCKS * 64} simulated each, seed {options.seed}.\n\n{HEAD}")
    full, none = (movies_of("supernova", fraction, options.seed) for fraction in (1.0, 0.0))
    for chosen in (first_night, all_before):
        stacks, field = real(options.data, "supernova", chosen)
        parts = (stacks, simulated(full, chosen), simulated(none, chosen))
        for what, measure, limit in (("flux > 5 sigma at the SN", significance, 5), ("a pixel > 8 sigma", brightest_pixel, 8)):
            seen, with_host, without = (np.array([measure(s) > limit for s in part]) for part in parts)
            print(row(f"{what}, {chosen.__name__.replace('_', ' ')}", seen, field, with_host, without))
    print(f"\nNeighbours of stars above {LIMIT:g} sigma; {BLOCKS * 64} simulated each.\n\n{HEAD}")
    wide = ("magnitudes=wide", "source.non_variable.mag_min=17.7", "source.non_variable.mag_max=19.7")
    blocks = (movies_of("non_variable", fraction, options.seed, *wide) for fraction in (1.0, 0.0))
    with_host, without = (np.array([neighbour(s) > LIMIT for s in simulated(part, every)]) for part in blocks)
    for label in ("non_variable", "rr_lyrae", "eclipsing_binary"):
        stacks, field = real(options.data, label, every)
        print(row(label, np.array([neighbour(s) > LIMIT for s in stacks]), field, with_host, without))


if __name__ == "__main__":
    main()

"""Fits the population of eclipsing binaries to the real ones of the HiTS development fields.

Run as ``python benchmarks/sky/fit_eclipsing_binary.py --data DIR --output plugins/skyreel_sources/tables/eclipsing_binary.json``
(a minute). Every curve of the bank is seen once at `COPIES` real sequences of epochs, with their errors; a population is then no more
than weights of these curves, so that five constants are fitted without computing any again. Minimised is the sum of the
squared Kolmogorov-Smirnov distances of `curves.STATISTICS`. The fit is made three times: on all fields ('all', the
defaults of the source), and on the fields of even and of odd rank alone, each to be tested on the other half.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import curves
import numpy as np
from scipy.optimize import minimize

from skyreel.files import write_text
from skyreel_sources.eclipsing_binary import PERIOD_JITTER, SCATTERS, EclipsingBinary
from skyreel_sources.eclipsing_binary_bank import Population, bank, cumulative

COPIES = 10
SEED = 0
SETTINGS = 60
"""Populations tried in each fit."""
BOUNDS = {
    "detached_fraction": (0.10, 0.15),
    "semi_detached_fraction": (0.0, 0.15),
    "period_median": (0.25, 0.40),
    "period_scatter": (0.04, SCATTERS[1]),
    "amplitude_min": (0.05, 0.35),
}
START = Population(0.125, 0.05, 0.32, 0.11, 0.15)
"""The middle of the asked-for share of detached systems, and laws like the bank's own."""


def halves(field: np.ndarray) -> np.ndarray:
    """Rank of every object's field among the fields, modulo 2."""
    return np.unique(field, return_inverse=True)[1] % 2


def library(real: curves.Curves, copies: int, seed: int) -> tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]:
    """Row of the bank, real object whose epochs were taken, and statistics of every simulated curve."""
    rng = np.random.default_rng(seed)
    table = bank()
    row = np.tile(np.arange(len(table.kind)), copies)
    twin = rng.integers(0, len(real.mjd), len(row))
    at = real.take(twin)
    period = table.period[row] * np.exp(PERIOD_JITTER * rng.standard_normal(len(row)))
    params = {"curve": row, "period": period, "epoch": period * rng.random(len(row)), "mean_mag": np.zeros(len(row))}
    source = EclipsingBinary(**asdict(START))
    mag = source.light_curve(params, at.mjd, np.full(at.mjd.shape, source.bands.index("g"), np.int8)).mag
    mag += rng.standard_normal(mag.shape) * at.error
    return row, twin, curves.statistics(curves.Curves(at.mjd, mag, at.error, at.mask, at.field))


def weighted_distance(real: np.ndarray, simulated: np.ndarray, weight: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance from a weighted sample."""
    order = np.argsort(simulated)
    below = np.concatenate([[0.0], np.cumsum(weight[order])]) / weight.sum()
    values = np.sort(real)
    # Real and simulated distribution functions at the real values and just before.
    gaps = (
        np.searchsorted(values, values, side=side) / len(values) - below[np.searchsorted(simulated[order], values, side=side)]
        for side in ("left", "right")
    )
    return float(max(np.abs(gap).max() for gap in gaps))


def fit(real: Mapping[str, np.ndarray], row: np.ndarray, simulated: Mapping[str, np.ndarray]) -> tuple[Population, int]:
    """Best population and the number of those tried."""
    names = [each.name for each in fields(Population)]
    low, high = np.array([BOUNDS[name] for name in names]).T

    def population(x: np.ndarray) -> Population:
        return Population(*(float(round(value, 4)) for value in low + np.clip(x, 0.0, 1.0) * (high - low)))

    def loss(x: np.ndarray) -> float:
        weight = np.diff(cumulative(population(x)), prepend=0.0)[row]
        return sum(weighted_distance(real[name], simulated[name], weight) ** 2 for name in curves.STATISTICS)

    start = (np.array([getattr(START, name) for name in names]) - low) / (high - low)
    simplex = np.vstack([start, start + np.diag(np.where(start > 0.5, -0.3, 0.3))])
    found = minimize(
        loss, start, method="Nelder-Mead", bounds=[(0, 1)] * len(names), options={"maxfev": SETTINGS, "initial_simplex": simplex}
    )
    return population(found.x), int(found.nfev)


def main() -> None:
    """Writes the constants of the three fits, and how many settings were tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with hits2015a/dev")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    real = curves.read(options.data, "eclipsing_binary")
    measured = curves.statistics(real)
    row, twin, simulated = library(real, COPIES, SEED)
    half = halves(real.field)
    constants: dict[str, object] = {"source": "benchmarks/sky/fit_eclipsing_binary.py, development fields of HiTS 2015A"}
    tried = 0
    for name, members in (("all", half >= 0), ("even", half == 0), ("odd", half == 1)):
        seen = members[twin]
        best, settings = fit({k: v[members] for k, v in measured.items()}, row[seen], {k: v[seen] for k, v in simulated.items()})
        constants[name] = asdict(best)
        tried += settings
        print(name, int(members.sum()), "binaries", best, settings, "settings")
    write_text(options.output, json.dumps(constants | {"settings": tried}, indent=1) + "\n")


if __name__ == "__main__":
    main()

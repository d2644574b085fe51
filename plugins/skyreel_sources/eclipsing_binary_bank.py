"""The bank of eclipsing binaries: decoding its curves, and how often each of them is drawn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np

from skyreel.errors import ConfigError
from skyreel.interfaces import Array
from skyreel_sources.colours import colour_of_temperature, stellar_locus
from skyreel_sources.tables import load

TABLE = "eclipsing_binary.npz"
POPULATION = "eclipsing_binary.json"
KINDS = ("contact", "detached", "semi_detached")
BANDS = ("u", "g", "r", "i", "z", "y")
SAMPLES = 256
"""Phases per cycle."""
PROPOSED = (0.32, 0.30)
"""Median [d] of the periods of contact binaries in the bank and standard deviation of their natural logarithm."""


@dataclass(frozen=True)
class Bank:
    """N light curves.

    Attributes
    ----------
    curve : float32 (6, N, SAMPLES + 1)
        Magnitude in each of `BANDS` from the deeper eclipse in g on, zero on average over phase.
    colour : (N, 6)
        Mean magnitude in u, g, r, i, z, y minus g.
    amplitude : (N,)
        Peak to peak in g [mag].
    kind : int8 (N,)
        Index into `KINDS`; sorted.
    period, eccentricity : (N,)
        [d]; 0 for a circular orbit.
    """

    curve: np.ndarray
    colour: Array
    amplitude: Array
    kind: np.ndarray
    period: Array
    eccentricity: Array


@dataclass(frozen=True)
class Population:
    """Constants fitted to real light curves by benchmarks/sky/fit_eclipsing_binary.py.

    Attributes
    ----------
    detached_fraction, semi_detached_fraction : float
        Shares of the draws; the rest are contact binaries.
    period_median : float
        Of the log-normal law of contact binaries' periods [d], before the cut in amplitude.
    period_scatter : float
        Its standard deviation [dex].
    amplitude_min : float
        Smallest peak-to-peak amplitude in g [mag].
    """

    detached_fraction: float
    semi_detached_fraction: float
    period_median: float
    period_scatter: float
    amplitude_min: float


@cache
def populations() -> dict[str, Population]:
    """Constants fitted to all development fields ('all'), and to either half of them ('even', 'odd' ranks)."""
    content = json.loads((files("skyreel_sources.tables") / POPULATION).read_text(encoding="utf-8"))
    return {name: Population(**content[name]) for name in ("all", "even", "odd")}


@cache
def bank() -> Bank:
    """The bank, read once."""
    table = load(TABLE)
    circular = table["system"][:, 5] == 0.0
    g = _unpack(table, "g", circular)
    curve = np.stack([g if name == "g" else g + _unpack(table, name, circular) for name in BANDS])
    period, _, hot, cool, _, eccentricity, _, share = table["system"].T
    light = np.stack([share, 1.0 - share], axis=1)[..., None] * 10.0 ** (
        -0.4 * np.stack([stellar_locus(colour_of_temperature(kelvin)) for kelvin in (hot, cool)], axis=1)
    )
    return Bank(
        np.asarray(curve, np.float32),
        -2.5 * np.log10(light.sum(axis=1)),
        np.ptp(g, axis=1),
        table["kind"].astype(np.int8),
        period,
        eccentricity,
    )


def _unpack(table: dict[str, Array], name: str, circular: np.ndarray) -> Array:
    """Curves (N, SAMPLES + 1) [mag] with zero mean over phase from differences along half or whole cycles [mmag]."""
    values = np.empty((len(circular), SAMPLES))
    half = np.cumsum(table[f"{name}_half"], axis=1)
    values[circular] = np.concatenate([half, half[:, -2:0:-1]], axis=1)
    values[~circular] = np.cumsum(table[f"{name}_full"], axis=1)
    values -= values.mean(axis=1, keepdims=True)
    return 1e-3 * np.concatenate([values, values[:, :1]], axis=1)


@lru_cache(maxsize=64)
def cumulative(population: Population) -> Array:
    """Cumulative probabilities (N,) of the rows of the bank.

    Contact binaries are weighted by the ratio of the wanted and the bank's law of periods, the others are alike.

    Raises
    ------
    ConfigError
        For an amplitude that no binary of a wanted kind reaches.
    """
    table = bank()
    others = population.detached_fraction, population.semi_detached_fraction
    shares = np.array([max(1.0 - sum(others), 0.0), *others])
    log_period = np.log(table.period)
    wanted = (log_period - np.log(population.period_median)) / (np.log(10.0) * population.period_scatter)
    proposed = (log_period - np.log(PROPOSED[0])) / PROPOSED[1]
    weight = np.where(table.kind == 0, np.exp(np.clip(0.5 * (proposed**2 - wanted**2), -100.0, 100.0)), 1.0)
    weight *= table.amplitude >= population.amplitude_min
    for index, name in enumerate(KINDS):
        rows = table.kind == index
        total = weight[rows].sum()
        if shares[index] > 0.0 and not total > 0.0:
            remedy = f"the deepest {name} binary has {table.amplitude[rows].max():.2f} mag"
            raise ConfigError("EclipsingBinary.amplitude_min", f"{population.amplitude_min} mag", remedy)
        weight[rows] *= shares[index] / max(total, 1e-300)
    return np.asarray(np.cumsum(weight) / weight.sum(), np.float64)

"""How far a simulated population lies from a real one: Kolmogorov-Smirnov distance with an interval over sky fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import DataError
from skyreel.evaluate.resampling import percentiles
from skyreel.seeding import Seeds

RESAMPLES = 1000


@dataclass(frozen=True)
class Distance:
    """Kolmogorov-Smirnov distance of two samples.

    Attributes
    ----------
    d : float
        Largest difference of the two distribution functions.
    interval : (float, float)
        95 % percentile interval of `d` when clusters of the real sample are drawn with replacement. A resampled distance
        holds the noise of drawing twice, so that the interval lies rather high: its upper end is a safe bound.
    noise : float
        Median distance of as many objects drawn from the simulated sample itself: what a perfect simulation would show.
    n_real, n_simulated : int
    """

    d: float
    interval: tuple[float, float]
    noise: float
    n_real: int
    n_simulated: int

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.d:.3f} ({low:.2f} to {high:.2f}; noise {self.noise:.2f}; {self.n_real} and {self.n_simulated})"


def distance(real: ArrayLike, simulated: ArrayLike, cluster: ArrayLike | None = None, *, seed: int = 0) -> Distance:
    """Kolmogorov-Smirnov distance of one quantity between real and simulated objects.

    Parameters
    ----------
    real : array (n,)
    simulated : array (m,)
    cluster : array (n,), optional
        Sky field of every real object: fields, not objects, are resampled. By default each object is its own.
    seed : int
        Of the resampling.

    Raises
    ------
    DataError
        For an empty sample, a value that is not finite, or clusters of another length.
    """
    one, two = (np.asarray(sample, np.float64) for sample in (real, simulated))
    for name, sample in (("real", one), ("simulated", two)):
        if sample.ndim != 1 or not sample.size or not np.isfinite(sample).all():
            raise DataError(
                f"distance: {name} sample", f"shape {sample.shape}, finite {int(np.isfinite(sample).sum())}", "hand in finite values (n,)"
            )
    label = np.arange(len(one)) if cluster is None else np.asarray(cluster)
    if label.shape != one.shape:
        raise DataError("distance: cluster", f"shape {label.shape}", f"name one cluster for each of {len(one)} real values")
    names, member = np.unique(label, return_inverse=True)
    rng = Seeds(seed, "distances").rng("clusters")
    weight = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), RESAMPLES)[:, member].astype(np.float64)
    resampled = _distances(one, weight, two)
    perfect = rng.integers(0, len(two), (RESAMPLES // 5, len(one)))
    noise = [_distances(two[rows], np.ones((1, len(one))), two)[0] for rows in perfect]
    low, high = percentiles(resampled)["95"]
    return Distance(float(_distances(one, np.ones((1, len(one))), two)[0]), (low, high), float(np.median(noise)), len(one), len(two))


def _distances(real: NDArray[np.float64], weight: NDArray[np.float64], simulated: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances (B,) of weighted real samples, weight (B, n), from the simulated sample."""
    order = np.argsort(real, kind="stable")
    values, weight = real[order], weight[:, order]
    ordered = np.sort(simulated)
    cumulative = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    before = np.concatenate([np.zeros((len(weight), 1)), cumulative[:, :-1]], axis=1)
    # Ties: the real function jumps over all equal values at once.
    last = np.searchsorted(values, values, side="right") - 1
    first = np.searchsorted(values, values, side="left")
    upper = cumulative[:, last] - np.searchsorted(ordered, values, side="right") / len(ordered)
    lower = before[:, first] - np.searchsorted(ordered, values, side="left") / len(ordered)
    # Either function is constant between jumps of the other, so the extremes lie at the real values or just before.
    return np.asarray(np.maximum(np.abs(upper).max(axis=1), np.abs(lower).max(axis=1)))

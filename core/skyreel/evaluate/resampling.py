"""Bootstrap over sky fields: which fields each resample holds, and sums over the objects of those fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.outcomes import Outcomes
from skyreel.seeding import Seeds

RESAMPLES = 2000
LEVELS = (68, 95)
"""Percentile intervals given [per cent]."""
_ROUNDS = 1000


@dataclass(frozen=True)
class Resampling:
    """B bootstrap resamples of the F clusters of one set of objects.

    Attributes
    ----------
    weights : float64 (B, F)
        How often each cluster is drawn; every row sums to F.
    names : (F,) array
        Fields (int), or groups (str) where the set lies in one field; sorted.
    kind : 'field' or 'group'
    """

    weights: NDArray[np.float64]
    names: NDArray[np.int32] | NDArray[np.str_]
    kind: str

    def sums(self, outcomes: Outcomes, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sums (B, M) of `values` (n, M) over the objects of each resample."""
        return self.weights @ _cluster_sums(getattr(outcomes, self.kind), self.names, values)


def resample(parts: Sequence[Outcomes], seed: int = 0, resamples: int = RESAMPLES) -> Resampling:
    """Draws clusters with replacement, as many as there are, the same ones for all parts.

    Clusters are the fields; where all objects lie in one field, the groups (single objects and their duplicates). A
    resample in which a part lacks a class that the part has is drawn again: means over classes are then over the same
    classes throughout, and intervals are conditional on that.

    Parameters
    ----------
    parts : sequence of Outcomes
        Outcomes of several models or draws, on overlapping sets of objects.
    seed : int
    resamples : int
        Number B.

    Raises
    ------
    ConfigError
        If `resamples` is below 1.
    DataError
        If there is no object, or (almost) no resample holds every class.
    """
    if resamples < 1:
        raise ConfigError("resamples", str(resamples), "use 1 or more")
    if not parts or not all(len(part) for part in parts):
        raise DataError("bootstrap", "a set without objects", "hand in outcomes of at least one object")
    fields = np.unique(np.concatenate([part.field for part in parts]))
    kind = "field" if len(fields) > 1 else "group"
    names = fields if kind == "field" else np.unique(np.concatenate([part.group for part in parts]))
    present = np.concatenate([_cluster_sums(getattr(part, kind), names, _members(part)) for part in parts], axis=1)
    present = np.unique(present[:, present.any(axis=0)] > 0, axis=1).astype(np.float64)
    rng = Seeds(seed, "evaluate").rng("clusters")
    weights = np.zeros((resamples, len(names)))
    wanted = np.arange(resamples)
    for _ in range(_ROUNDS):
        weights[wanted] = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), len(wanted))
        wanted = wanted[((weights[wanted] @ present) == 0).any(axis=1)]
        if not wanted.size:
            return Resampling(weights, names, kind)
    found = f"{len(names)} clusters, of which hardly any resample holds every class"
    raise DataError("bootstrap", found, "score fewer classes or more fields")


@dataclass(frozen=True)
class Recalls:
    """Right answers and objects of each class, of the set itself (row 0) and of B resamples.

    Attributes
    ----------
    names : tuple of str
        The P classes that occur among the labels.
    right, objects : float64 (B + 1, P)
    """

    names: tuple[str, ...]
    right: NDArray[np.float64]
    objects: NDArray[np.float64]

    @property
    def recall(self) -> NDArray[np.float64]:
        """(B + 1, P)."""
        return np.asarray(self.right / self.objects)

    @property
    def mean_recall(self) -> NDArray[np.float64]:
        """(B + 1,)."""
        return np.asarray(self.recall.mean(axis=1))

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """(B + 1,)."""
        return np.asarray(self.right.sum(axis=1) / self.objects.sum(axis=1))


def recalls(outcomes: Outcomes, k: int | None, drawn: Resampling) -> Recalls:
    """What the recalls after `k` images (None: after the last) are made of, in the set and in every resample."""
    truth = outcomes.truth
    answer = (outcomes.last() if k is None else outcomes.after(k)).argmax(axis=1)
    member = _members(outcomes)
    present = np.flatnonzero(member.any(axis=0))
    member = member[:, present]
    both = np.concatenate([member * (answer == truth)[:, None], member], axis=1)
    right, objects = np.split(np.concatenate([both.sum(axis=0, keepdims=True), drawn.sums(outcomes, both)]), 2, axis=1)
    return Recalls(tuple(outcomes.classes[index] for index in present), right, objects)


def percentiles(samples: NDArray[np.float64]) -> dict[str, list[float]]:
    """``{"68": [lower, upper], "95": [lower, upper]}`` of samples (B,)."""
    tails = [[50 - 0.5 * level, 50 + 0.5 * level] for level in LEVELS]
    return {str(level): np.percentile(samples, tail).tolist() for level, tail in zip(LEVELS, tails, strict=True)}


def wilson(share: ArrayLike, number: ArrayLike, sigma: float = 1.959963984540054) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of a share of `number` independent objects (Wilson 1927, JASA 22, 209), by default those of 95 %."""
    p, n, z2 = np.asarray(share, np.float64), np.asarray(number, np.float64), sigma**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = sigma / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def _members(outcomes: Outcomes) -> NDArray[np.float64]:
    return np.asarray(outcomes.truth[:, None] == np.arange(len(outcomes.classes)), np.float64)


def _cluster_sums(cluster: NDArray[Any], names: NDArray[Any], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sums (F, M) of values (n, M) over the objects of each cluster."""
    out = np.zeros((len(names), values.shape[1]))
    np.add.at(out, np.searchsorted(names, cluster), values)
    return out

"""A random forest as judge of features, and which groups of features it goes by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from skyreel.evaluate.realism import FOLDS, Array, Judge, Rows, Verdict, balanced_folds, cross_validated, verdict, weighted_auc
from skyreel.evaluate.realism_features import BACKGROUND, FRAME, GROUPS
from skyreel.evaluate.realism_objects import OBJECT, object_features
from skyreel.seeding import Seeds

TREES = 100
"""Twice as many change the area under the ROC curve by 0.001."""
LEAF = 3
SHUFFLES = 2
"""Times a group of features is shuffled in each fold."""


@dataclass(frozen=True)
class Sample:
    """Features of frames, real ones first.

    Attributes
    ----------
    values : float64 (m, len(FRAME))
    real : bool (m,)
    group : int (m,)
        Object of each frame; a twin has the number of its real object. Frames of one object follow one another.
    field : int (m,)
        Field of the object.
    """

    values: Array
    real: NDArray[np.bool_]
    group: Rows
    field: NDArray[np.int32]

    @staticmethod
    def of(real: tuple[Array, Rows, NDArray[np.int32]], simulated: tuple[Array, Rows, NDArray[np.int32]]) -> Sample:
        """Joins the values, objects and fields of real and simulated frames."""
        both = [np.concatenate([real[k], simulated[k]]) for k in range(3)]
        return Sample(both[0], np.repeat([True, False], [len(real[0]), len(simulated[0])]), both[1], both[2])

    def objects(self) -> Sample:
        """The same by object: `values` becomes (n, len(OBJECT))."""
        first = np.flatnonzero((np.diff(self.group, prepend=-1) != 0) | (np.diff(self.real, prepend=True)))
        return Sample(object_features(self.values, first), self.real[first], self.group[first], self.field[first])


def forest_judge(values: Array, real: NDArray[np.bool_], seed: int) -> Judge:
    """A random forest on features (n, F) for `cross_validated`."""

    def judge(seen: Rows, asked: Rows) -> Array:
        return _answers(_grown(values[seen], real[seen], seed), values[asked])

    return judge


def forest_verdicts(sample: Sample, levels: Sequence[str], seed: int = 0) -> list[Verdict]:
    """Verdicts of the forest at the named levels: held out by object, then by field where there are two fields or more."""
    columns = {"frame": list(range(len(FRAME))), "background": [FRAME.index(name) for name in BACKGROUND]}
    out = []
    fields = _field_folds(sample)
    for held_out in ("object", "field")[: 1 + (fields > 1)]:
        for level in levels:
            rows = sample.objects() if level == "object" else sample
            values = rows.values[:, columns.get(level, slice(None))]
            owner, folds, unit = (rows.group, FOLDS, "objects") if held_out == "object" else (rows.field, fields, "fields")
            fold = balanced_folds(rows.real, owner, folds, unit)
            probability = cross_validated(forest_judge(values, rows.real, seed), fold)
            out.append(verdict(level, "forest", probability, rows.real, rows.group, fold, held_out, seed))
    return out


def separations(values: Array, real: NDArray[np.bool_], names: Sequence[str] = FRAME) -> dict[str, float]:
    """How well every single feature tells the samples apart, most telling first.

    Area under the ROC curve (at least 0.5) of the feature or of its distance from the common median, whichever is larger: a
    feature that only scatters more in one of the samples gives it away as well.
    """
    one_fold, alike = np.zeros(len(real), np.intp), np.ones((1, len(real)))

    def area(column: Array) -> float:
        found = float(weighted_auc(column, real, one_fold, alike)[0])
        return max(found, 1.0 - found)

    single = {name: max(area(values[:, k]), area(np.abs(values[:, k] - np.median(values[:, k])))) for k, name in enumerate(names)}
    return dict(sorted(single.items(), key=lambda item: -item[1]))


def importances(
    sample: Sample, groups: Mapping[str, Sequence[str]] = GROUPS, names: Sequence[str] = FRAME, seed: int = 0
) -> dict[str, float]:
    """How much of the forest's area under the ROC curve goes when a group of features is shuffled among held-out frames.

    The features of a group are shuffled together (Breiman 2001, Machine Learning 45, 5, section 10, for groups), so that one
    cannot stand in for its neighbour; a group that another group can stand in for still counts little. Most telling first.

    Parameters
    ----------
    sample : Sample
    groups : mapping
        Name -> features.
    names : sequence of str
        Features, in the order of the columns.
    seed : int
    """
    rng = Seeds(seed, "realism").rng("shuffle")
    fold = balanced_folds(sample.real, sample.group)
    turns = [(group, [names.index(name) for name in features]) for group, features in groups.items() for _ in range(SHUFFLES)]
    answers = np.zeros((1 + len(turns), len(fold)))
    for k in np.unique(fold):
        asked = fold == k
        held_out = sample.values[asked]
        changed = np.tile(held_out, (1 + len(turns), 1, 1))
        for turn, (_, columns) in enumerate(turns, start=1):
            changed[turn][:, columns] = held_out[rng.permutation(len(held_out))][:, columns]
        forest = _grown(sample.values[~asked], sample.real[~asked], seed)
        answers[:, asked] = _answers(forest, changed.reshape(-1, held_out.shape[1])).reshape(len(changed), -1)
    whole, *areas = (float(weighted_auc(answer, sample.real, fold, np.ones((1, len(fold))))[0]) for answer in answers)
    lost = {
        group: whole - float(np.mean([area for (name, _), area in zip(turns, areas, strict=True) if name == group])) for group in groups
    }
    return dict(sorted(lost.items(), key=lambda item: -item[1]))


def _field_folds(sample: Sample) -> int:
    """Folds of fields: as many as fields hold a good share of the frames (inverse Simpson index), `FOLDS` at most; 1: a single field."""
    names, counts = np.unique(sample.field[sample.real], return_counts=True)
    alike = counts.sum() ** 2 / (counts**2).sum()
    return min(FOLDS, len(names), max(2, round(float(alike))))


def _grown(values: Array, real: NDArray[np.bool_], seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(TREES, min_samples_leaf=LEAF, random_state=seed, n_jobs=-1).fit(values, real)


def _answers(forest: RandomForestClassifier, values: Array) -> Array:
    return np.asarray(forest.predict_proba(values)[:, 1], np.float64)


__all__ = ["OBJECT", "Sample", "forest_judge", "forest_verdicts", "importances", "separations"]

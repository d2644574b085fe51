"""Can a judge tell simulated movies from real ones? Two-sample tests at the level of frames, sky background and objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from skyreel.errors import DataError
from skyreel.evaluate.realism_features import BACKGROUND, FRAME
from skyreel.evaluate.resampling import percentiles
from skyreel.movies import Movies
from skyreel.seeding import Seeds

Array = NDArray[np.float64]

FOLDS = 5
TREES = 200
LEAF = 3
RESAMPLES = 500
LARGEST = 65_535
"""Real stamps are clipped to what a simulated one can hold [ADU]."""

LEVELS = {
    "frame": "all features of one frame",
    "background": "the sky beyond 9 px of one frame",
    "object": "mean, scatter and memory of all features over an object's frames",
}
"""Level -> what the judge sees."""


@dataclass(frozen=True)
class Verdict:
    """How well a judge tells simulated from real.

    Attributes
    ----------
    level : str
        One of `LEVELS`.
    judge : 'forest' or 'cnn'
    auc : float
        Area under the ROC curve of held-out objects; 0.5 cannot tell, 1 always can.
    interval : (float, float)
        95 % percentile interval when objects are drawn with replacement (a twin goes with its object).
    n_real, n_simulated : int
        Frames or objects judged.
    probability, real : (n_real + n_simulated,)
        What the judge says of each, and the truth.
    """

    level: str
    judge: str
    auc: float
    interval: tuple[float, float]
    n_real: int
    n_simulated: int
    probability: Array
    real: NDArray[np.bool_]


def whole_adu(movies: Movies) -> Movies:
    """The movies with pixels rounded to whole ADU within 0..65535, as simulated ones are; others give themselves away at once."""
    pixels = np.clip(np.round(np.nan_to_num(np.asarray(movies.pixels, np.float32))), 0, LARGEST)
    return replace(movies, pixels=pixels.astype(np.float32))


def cross_validated(
    judge: Callable[[NDArray[np.intp], NDArray[np.intp]], Array], real: NDArray[np.bool_], group: NDArray[np.intp], folds: int = FOLDS
) -> Array:
    """Probability of being real (n,), each from a judge that has seen neither the object nor its twin.

    Parameters
    ----------
    judge : callable
        Takes the rows it may learn from and the rows it must answer for; returns their probabilities.
    real : bool (n,)
    group : int (n,)
        Object; a twin has the number of its real object.
    folds : int

    Raises
    ------
    DataError
        With fewer objects than folds.
    """
    objects = len(np.unique(group))
    if objects < folds:
        raise DataError("realism", f"{objects} objects", f"hand in at least {folds}")
    out = np.zeros(len(real))
    for seen, asked in GroupKFold(folds).split(real, real, group):
        out[asked] = judge(seen, asked)
    return out


def forest_judge(values: Array, real: NDArray[np.bool_], seed: int) -> Callable[[NDArray[np.intp], NDArray[np.intp]], Array]:
    """A random forest on features (n, F) for `cross_validated`."""

    def judge(seen: NDArray[np.intp], asked: NDArray[np.intp]) -> Array:
        forest = RandomForestClassifier(TREES, min_samples_leaf=LEAF, random_state=seed, n_jobs=-1)
        forest.fit(values[seen], real[seen])
        return np.asarray(forest.predict_proba(values[asked])[:, 1], np.float64)

    return judge


def verdict(level: str, judge: str, probability: Array, real: NDArray[np.bool_], group: NDArray[np.intp], seed: int = 0) -> Verdict:
    """The area under the ROC curve with its interval over objects."""
    rng = Seeds(seed, f"realism/{level}/{judge}").rng("objects")
    names, member = np.unique(group, return_inverse=True)
    draws = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), RESAMPLES)[:, member]
    samples = np.array([roc_auc_score(real, probability, sample_weight=weight) for weight in draws])
    low, high = percentiles(samples)["95"]
    n_real = int(real.sum())
    return Verdict(level, judge, float(roc_auc_score(real, probability)), (low, high), n_real, len(real) - n_real, probability, real)


def object_features(values: Array, rows: NDArray[np.intp]) -> Array:
    """Mean, standard deviation and lag-1 autocorrelation over the frames of each object, and how far its ellipse keeps its direction.

    Parameters
    ----------
    values : (m, len(FRAME))
    rows : int (m,)
        Object of every frame, ascending, frames in time order.

    Returns
    -------
    (n, 3 len(FRAME) + 1)
    """
    out = []
    one, two = FRAME.index("ellipticity_1"), FRAME.index("ellipticity_2")
    for part in np.split(values, np.flatnonzero(np.diff(rows)) + 1):
        mean, std = part.mean(axis=0), part.std(axis=0)
        rest = part - mean
        memory = (rest[1:] * rest[:-1]).sum(axis=0) / np.maximum((rest**2).sum(axis=0), 1e-12)
        turn = part[:, one] + 1j * part[:, two]
        out.append(np.concatenate([mean, std, memory, [abs(turn.mean()) / max(np.abs(turn).mean(), 1e-12)]]))
    return np.array(out)


def separations(values: Array, real: NDArray[np.bool_], names: Sequence[str] = FRAME) -> dict[str, float]:
    """Area under the ROC curve of every single feature (at least 0.5): what gives a simulation away, most telling first."""
    single = {name: float(roc_auc_score(real, values[:, column])) for column, name in enumerate(names)}
    return dict(sorted(((name, max(auc, 1.0 - auc)) for name, auc in single.items()), key=lambda item: -item[1]))


def forest_verdicts(
    real: tuple[Array, NDArray[np.intp]], simulated: tuple[Array, NDArray[np.intp]], seed: int = 0
) -> tuple[dict[str, Verdict], Mapping[str, float]]:
    """Verdicts of the forest at the three levels, and the separation of every feature.

    Parameters
    ----------
    real, simulated : (values, rows)
        As `realism_features.frame_features` returns them; the twin of object k is simulated object k.
    seed : int
    """
    values = np.concatenate([real[0], simulated[0]])
    group = np.concatenate([real[1], simulated[1]])
    truth = np.repeat([True, False], [len(real[0]), len(simulated[0])])
    columns = {"frame": list(range(len(FRAME))), "background": [FRAME.index(name) for name in BACKGROUND]}
    out = {}
    for level, chosen in columns.items():
        probability = cross_validated(forest_judge(values[:, chosen], truth, seed), truth, group)
        out[level] = verdict(level, "forest", probability, truth, group, seed)
    whole = np.concatenate([object_features(*real), object_features(*simulated)])
    owner = np.concatenate([np.unique(real[1]), np.unique(simulated[1])])
    kind = np.repeat([True, False], [len(np.unique(real[1])), len(np.unique(simulated[1]))])
    probability = cross_validated(forest_judge(whole, kind, seed), kind, owner)
    out["object"] = verdict("object", "forest", probability, kind, owner, seed)
    return out, separations(values, truth)

"""Controls: classifiers that see one cheap thing of a movie each. A model that does not beat them has shown nothing.

They are trained on the same simulated movies as the model (and, beside a fine-tuned model, on the same labelled real
ones), cut by the same protocol, and scored on the same objects by the most probable of all trained classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import RandomForestClassifier

from skyreel.errors import DataError
from skyreel.evaluate.controls_inputs import CONTROLS, control_inputs
from skyreel.evaluate.intervals import interval, paired_difference
from skyreel.evaluate.outcomes import Outcomes
from skyreel.evaluate.protocols import cut, store_lengths, usable_frames
from skyreel.interfaces import MovieStore
from skyreel.preprocessing import SequenceOptions

__all__ = ["CONTROLS", "Control", "Seen", "control_outcomes", "seen_of", "train_controls", "verdict"]

TREES, LEAF = 200, 5
"""Trees of each control and the fewest training movies in a leaf: chosen once, on simulated movies, for all controls."""
COPIES = 100
"""Copies of every labelled real object in the training set, as in section 4 of the paper for its random forest."""
LEVEL = "95"
"""Per cent of the interval of the difference that must lie above 0 for a control to be cleared."""
_BATCH = 512


@dataclass(frozen=True)
class Seen:
    """What the controls see of n objects.

    Attributes
    ----------
    inputs : dict of str -> float32 (n, F)
        `skyreel.evaluate.controls_inputs.control_inputs`.
    label, object_id : str (n,)
    """

    inputs: dict[str, NDArray[np.float32]]
    label: NDArray[np.str_]
    object_id: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, objects: Any) -> Seen:
        """The chosen objects (indices or boolean mask)."""
        return Seen({name: column[objects] for name, column in self.inputs.items()}, self.label[objects], self.object_id[objects])

    def named(self, object_id: NDArray[np.str_]) -> Seen:
        """The objects of these names, in that order.

        Raises
        ------
        DataError
            For a name that is missing or occurs twice here.
        """
        order = np.argsort(self.object_id, kind="stable")
        first, last = (np.searchsorted(self.object_id[order], object_id, side=side) for side in ("left", "right"))
        if not (last - first == 1).all():
            place = int(np.argmax(last - first != 1))
            found = f"object {str(object_id[place])!r} is there {int(last[place] - first[place])} times"
            raise DataError("controls", found, "give every movie a name of its own and hand in the movies that were scored")
        return self.take(order[first])


def seen_of(
    store: MovieStore,
    protocol: str,
    options: SequenceOptions,
    *,
    seed: int = 0,
    lengths: ArrayLike | None = None,
    tick: Callable[[int], Any] | None = None,
    batch: int = _BATCH,
) -> Seen:
    """Cuts every movie of a store and measures what the controls see.

    Parameters
    ----------
    store : MovieStore
        Whole sequences; those without a usable image are left out.
    protocol : str
        One of `skyreel.evaluate.protocols.PROTOCOLS`.
    options : SequenceOptions
    seed : int
        Of the protocol's draws and of the permutations of `shuffled_time`.
    lengths : int array or None
        As in `skyreel.evaluate.protocols.cut`; None takes those of the store's supernovae.
    tick : callable or None
        Told the number of movies that are done after each batch.
    batch : int
        Movies held in memory at a time; the result does not depend on it.

    Raises
    ------
    ConfigError
        For an unknown protocol.
    DataError
        If no movie has a usable image, or a length-matched protocol finds no lengths.
    """
    if protocol.startswith("length_matched") and lengths is None:
        lengths = store_lengths(store, options, batch)
    parts = []
    for start in range(0, len(store), batch):
        movies = store.take(np.arange(start, min(start + batch, len(store))))
        kept = usable_frames(movies).any(axis=1)
        if kept.any():
            window = cut(movies if kept.all() else movies.take(kept), protocol, options, seed=seed, lengths=lengths)
            parts.append(Seen(control_inputs(window, seed=seed), window.label, window.object_id))
        if tick:
            tick(len(movies))
    if not parts:
        raise DataError("controls", "no object with a usable image", "check the movies' frame_mask")
    joined = {name: np.concatenate([part.inputs[name] for part in parts]) for name in CONTROLS}
    return Seen(joined, np.concatenate([part.label for part in parts]), np.concatenate([part.object_id for part in parts]))


@dataclass(frozen=True)
class Control:
    """A trained control.

    Attributes
    ----------
    name : str
        One of `CONTROLS`.
    classes : tuple of str
        The model's classes, in its order; those without a training movie have probability 0.
    forest : RandomForestClassifier
    """

    name: str
    classes: tuple[str, ...]
    forest: RandomForestClassifier

    def probabilities(self, seen: Seen) -> NDArray[np.float32]:
        """Probabilities (n, C) of each object, from its whole window."""
        out = np.zeros((len(seen), len(self.classes)), np.float32)
        out[:, self.forest.classes_] = self.forest.predict_proba(seen.inputs[self.name])
        return out


def train_controls(
    simulated: Seen, classes: Sequence[str], *, seed: int = 0, real: Seen | None = None, copies: int = COPIES
) -> dict[str, Control]:
    """Trains every control.

    Parameters
    ----------
    simulated : Seen
        Of simulated movies, cut by the protocol under which the controls will be scored.
    classes : sequence of str
        The model's classes.
    seed : int
    real : Seen or None
        Of the labelled real objects that fine-tuned the model.
    copies : int
        Copies of each of those.

    Returns
    -------
    dict of str -> Control
        In the order of `CONTROLS`.

    Raises
    ------
    DataError
        For a label that is no class, or fewer than two classes in the training set.
    """
    parts = [(simulated, 1), *([(real, copies)] if real is not None else [])]
    label = np.concatenate([np.repeat(part.label, times) for part, times in parts])
    unknown = sorted(set(label.tolist()) - set(classes))
    if unknown or len(set(label.tolist())) < 2:
        found = f"labels {', '.join(map(repr, unknown))}" if unknown else f"{len(set(label.tolist()))} class"
        raise DataError("training controls", found, f"hand in movies of two or more of {', '.join(classes)}")
    truth = np.array([list(classes).index(name) for name in label], np.intp)
    out = {}
    for number, name in enumerate(CONTROLS):
        inputs = np.concatenate([np.repeat(part.inputs[name], times, axis=0) for part, times in parts])
        state = np.random.RandomState(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        forest = RandomForestClassifier(n_estimators=TREES, min_samples_leaf=LEAF, n_jobs=1, random_state=state)
        out[name] = Control(name, tuple(classes), forest.fit(inputs, truth))
    return out


def control_outcomes(controls: Mapping[str, Control], seen: Seen, like: Outcomes) -> dict[str, Outcomes]:
    """What the controls say of the objects of a model's outcomes.

    A control answers once, from the whole window (`first_frame_only`: from its first image): that answer stands after
    every number of images.

    Parameters
    ----------
    controls : mapping of str -> Control
    seen : Seen
        Of the movies behind `like`, cut by the same protocol; it may hold further objects.
    like : Outcomes
        Of the model.

    Raises
    ------
    DataError
        If an object of `like` is missing in `seen`.
    """
    rows = seen.named(like.object_id)
    exists = np.arange(like.mjd.shape[1]) < like.n_images[:, None]
    out = {}
    for name, control in controls.items():
        answer = np.where(exists[..., None], control.probabilities(rows)[:, None], np.float32(np.nan))
        out[name] = replace(like, classes=control.classes, probabilities=answer)
    return out


def verdict(
    model: Outcomes | Sequence[Outcomes], controls: Mapping[str, Outcomes | Sequence[Outcomes]], *, seed: int = 0
) -> dict[str, Any]:
    """Whether a model is better than each control: the 95 % interval of the difference of mean recall lies above 0.

    Parameters
    ----------
    model : Outcomes, or one for each draw
    controls : mapping of str -> the same
    seed : int
        Of the field-clustered bootstrap (`skyreel.evaluate.intervals.paired_difference`).

    Returns
    -------
    dict
        JSON-ready: ``clears`` (all of them), ``not_cleared`` (names), and ``controls``: name -> ``mean_recall`` (with its
        own intervals), ``recall`` (class -> mean over draws), ``difference`` (model less control, with intervals) and
        ``cleared``.
    """
    rows: dict[str, Any] = {}
    for name, outcomes in controls.items():
        difference = paired_difference(model, outcomes, seed=seed)
        rows[name] = {
            "mean_recall": interval(outcomes, seed=seed),
            "recall": _recalls([outcomes] if isinstance(outcomes, Outcomes) else outcomes),
            "difference": difference,
            "cleared": bool(difference[LEVEL][0] > 0),
        }
    failed = [name for name, row in rows.items() if not row["cleared"]]
    return {"clears": not failed, "not_cleared": failed, "controls": rows}


def _recalls(parts: Sequence[Outcomes]) -> dict[str, float]:
    """Recall of each class that occurs after the last image, mean over the parts."""
    classes = parts[0].classes
    table = np.full((len(parts), len(classes)), np.nan)
    for k, part in enumerate(parts):
        right = part.last().argmax(axis=1) == part.truth
        total = np.bincount(part.truth, minlength=len(classes))
        table[k] = np.bincount(part.truth, right, len(classes)) / np.where(total, total, np.nan)
    return {name: float(np.nanmean(table[:, k])) for k, name in enumerate(classes) if np.isfinite(table[:, k]).any()}

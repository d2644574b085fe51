"""Scores of a fine-tuning: mean and spread over its draws of everything that `metrics.score` gives, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skyreel.evaluate.intervals import interval, paired_difference
from skyreel.evaluate.metrics import score
from skyreel.evaluate.outcomes import Key, Outcomes

AS_IT_CAME, TUNED = "model", "fine-tuned"
"""`Key.model` of the model as it came and of its fine-tuned copies."""
SIMULATED = "simulated test"
"""`Key.data` of the simulated movies."""
ALERT_WINDOW = "paper"
"""The protocol that simulated movies are scored under: their dates were drawn for it."""
_SHORT = ("mean_recall", "accuracy", "recall", "log_loss", "brier", "ece", "area", "confusion", "counts", "n_objects")
_SHORT_STEPS = ("mean_recall", "accuracy", "recall")


def draws_of(outcomes: Mapping[Key, Outcomes], data: str, protocol: str, model: str) -> list[Outcomes]:
    """Outcomes of one set under one protocol, draw by draw."""
    found = {key.draw: part for key, part in outcomes.items() if (key.data, key.protocol, key.model) == (data, protocol, model)}
    return [found[k] for k in sorted(found)]


def compared(before: Sequence[Outcomes], after: Sequence[Outcomes], *, prevalence: Mapping[str, float] | None, seed: int) -> dict[str, Any]:
    """The scores of one set under one protocol.

    Parameters
    ----------
    before, after : sequence of Outcomes
        One per draw, on the objects that the draw left.
    prevalence : mapping or None
        See `metrics.score`.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        JSON-ready. ``before`` and ``after``: ``mean`` and ``spread`` (standard deviation with D - 1 over the D draws, None
        for one draw), each in the layout of `metrics.score` without its intervals; ``each``, draw by draw the scores of
        `_SHORT`, and those of `_SHORT_STEPS` after every number of images; ``interval``, that of the mean recall over draws
        and fields (`intervals.interval`). ``difference``: mean recall after less before (`intervals.paired_difference`).
    """
    out: dict[str, Any] = {}
    for name, parts in (("before", before), ("after", after)):
        scores = [_without_intervals(score(part, prevalence=prevalence, seed=seed, resamples=1)) for part in parts]
        mean, spread = over_draws(scores)
        out[name] = {"mean": mean, "spread": spread, "each": [_in_short(item) for item in scores], "interval": interval(parts, seed=seed)}
    out["difference"] = paired_difference(after, before, seed=seed)
    return out


def over_draws(trees: Sequence[Any]) -> tuple[Any, Any]:
    """Mean and standard deviation (D - 1) of every number in trees of mappings and lists of the same layout.

    A number that some draws lack (None, or a key that is missing) is averaged over the others; without any, and for the
    spread of a single one, the result is None. What is no number stands as in the first draw in the mean and is None in
    the spread.
    """
    first = next((tree for tree in trees if tree is not None), None)
    if isinstance(first, Mapping):
        keys = dict.fromkeys(key for tree in trees if tree for key in tree)
        pairs = {key: over_draws([tree.get(key) for tree in trees if tree]) for key in keys}
        return {key: mean for key, (mean, _) in pairs.items()}, {key: spread for key, (_, spread) in pairs.items()}
    if isinstance(first, list) and all(isinstance(tree, list) and len(tree) == len(first) for tree in trees):
        items = [over_draws(column) for column in zip(*trees, strict=True)]
        return [mean for mean, _ in items], [spread for _, spread in items]
    if isinstance(first, (int, float)) and not isinstance(first, bool):
        values = np.array([tree for tree in trees if tree is not None], np.float64)
        return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None
    return first, None


def _without_intervals(tree: Any) -> Any:
    """The same without the bootstrap's intervals: those of a single draw say nothing of the others."""
    if isinstance(tree, Mapping):
        return {key: _without_intervals(value) for key, value in tree.items() if not key.endswith("interval") and key != "bootstrap"}
    return [_without_intervals(item) for item in tree] if isinstance(tree, list) else tree


def _in_short(scores: Mapping[str, Any]) -> dict[str, Any]:
    steps = {k: {name: step[name] for name in _SHORT_STEPS} for k, step in scores["by_n_images"].items()}
    return {name: scores[name] for name in _SHORT} | {"by_n_images": steps}

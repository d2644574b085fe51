"""Scores by magnitude, by signal to noise, and of saturated objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.evaluate.outcomes import Outcomes
from skyreel.evaluate.resampling import wilson

MAGNITUDES = (16.0, 17.0, 18.0, 19.0, 20.0, 21.0, 22.0, 23.0)
"""Bounds between the bins of `Outcomes.mag` [mag]; the outer bins are open."""
SNR = (3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Bounds between the bins of `Outcomes.snr`; the outer bins are open."""


def strata(
    outcomes: Outcomes, k: int | None = None, *, magnitudes: Sequence[float] = MAGNITUDES, snr: Sequence[float] = SNR
) -> dict[str, list[dict[str, Any]]]:
    """Accuracy and recalls in bins of magnitude and of signal to noise, and by saturation.

    Intervals are 95 % Wilson intervals of independent objects: most cells are too small for a bootstrap over fields, and
    theirs would have no width where all answers are right.

    Parameters
    ----------
    outcomes : Outcomes
    k : int or None
        After k images; None: after the last.
    magnitudes, snr : sequence of float
        Increasing bounds between bins; a bin holds its lower one.

    Returns
    -------
    dict
        JSON-ready: ``magnitude``, ``snr`` and ``saturated`` -> rows with ``low``, ``high`` (None: open; both are None
        in the row of objects without a value, as a magnitude of a negative flux) or ``value`` (bool), ``n``, ``accuracy`` and
        ``interval``, and ``recall``: class -> ``n``, ``recall``, ``interval``. Empty bins are left out.

    Raises
    ------
    ConfigError
        For bounds that do not increase.
    DataError
        If a label is not a trained class.
    """
    right = (outcomes.last() if k is None else outcomes.after(k)).argmax(axis=1) == outcomes.truth
    out = {}
    for name, column, bounds in (("magnitude", outcomes.mag, magnitudes), ("snr", outcomes.snr, snr)):
        edges = np.asarray(bounds, np.float64)
        if not len(edges) or not (np.diff(edges) > 0).all():
            raise ConfigError(f"strata: bounds of {name}", str(list(bounds)), "give increasing numbers, at least one")
        out[name] = _binned(outcomes, right, np.asarray(column, np.float64), edges)
    out["saturated"] = [
        {"value": value, **_cell(outcomes, right, outcomes.saturated == value)}
        for value in (False, True)
        if (outcomes.saturated == value).any()
    ]
    return out


def _binned(outcomes: Outcomes, right: NDArray[np.bool_], column: NDArray[np.float64], edges: NDArray[np.float64]) -> list[dict[str, Any]]:
    unknown = len(edges) + 1
    place = np.where(np.isfinite(column), np.searchsorted(edges, column, side="right"), unknown)
    inner: list[float | None] = edges.tolist()
    lows, highs = [None, *inner, None], [*inner, None, None]
    return [
        {"low": low, "high": high, **_cell(outcomes, right, place == index)}
        for index, (low, high) in enumerate(zip(lows, highs, strict=True))
        if (place == index).any()
    ]


def _cell(outcomes: Outcomes, right: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> dict[str, Any]:
    accuracy = _share(right[chosen])
    recall = {name: right[chosen & (outcomes.label == name)] for name in outcomes.classes}
    return {
        "n": accuracy["n"],
        "accuracy": accuracy["share"],
        "interval": accuracy["interval"],
        "recall": {
            name: {"n": cell["n"], "recall": cell["share"], "interval": cell["interval"]}
            for name, cell in ((name, _share(hits)) for name, hits in recall.items() if hits.size)
        },
    }


def _share(right: NDArray[np.bool_]) -> dict[str, Any]:
    lower, upper = wilson(right.mean(), right.size)
    return {"n": int(right.size), "share": float(right.mean()), "interval": [float(lower), float(upper)]}

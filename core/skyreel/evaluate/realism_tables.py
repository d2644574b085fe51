"""What a judgement leaves as numbers: a CSV of all features, and plain containers for JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.evaluate.realism import Array, Verdict
from skyreel.evaluate.realism_features import GROUPS

QUANTILES = (16, 50, 84)
COLUMNS = ("level", "feature", "group", "separation", *(f"{who}_{q}" for who in ("real", "simulated") for q in QUANTILES))


def feature_table(
    level: str, separation: Mapping[str, float], values: Array, real: NDArray[np.bool_], names: tuple[str, ...]
) -> list[list[Any]]:
    """Rows of `COLUMNS` for every feature, most telling first.

    Parameters
    ----------
    level : str
    separation : mapping
        As `realism_forest.separations` returns it.
    values : (n, len(names))
    real : bool (n,)
    names : tuple of str
    """
    group_of = {feature: group for group, features in GROUPS.items() for feature in features}
    rows = []
    for feature, area in separation.items():
        column = values[:, names.index(feature)]
        quantiles = [float(q) for sample in (column[real], column[~real]) for q in np.percentile(sample, QUANTILES)]
        rows.append(
            [level, feature, group_of.get(feature.split(" ")[-1], "direction"), round(area, 4), *(float(f"{q:.5g}") for q in quantiles)]
        )
    return rows


def as_csv(rows: list[list[Any]]) -> str:
    """The rows as CSV, under the names of `COLUMNS`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return buffer.getvalue()


def plain(item: Verdict) -> dict[str, Any]:
    """A verdict as JSON holds it."""
    return {**asdict(item), "interval": list(item.interval)}

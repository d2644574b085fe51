"""What a classification costs, from the runs that timed it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from skyreel.evaluate.comparison import Comparison
from skyreel.evaluate.exhibits_parts import Cost
from skyreel.evaluate.figures_cost import cost_ratio


def costs(found: Comparison) -> dict[str, Cost]:
    """Label of a model -> what the first of its runs measured; models that were not timed are left out."""
    out: dict[str, Cost] = {}
    for run, label in zip(found.runs, found.labels, strict=True):
        if run.exhibits and run.exhibits.cost.objects and run.exhibits.cost.yardstick > 0:
            out.setdefault(label, run.exhibits.cost)
    return out


def cost_of(found: Comparison) -> dict[str, dict[str, Any]]:
    """The same as plain containers, with the ratio to the yardstick."""
    return {label: {**asdict(cost), "ratio": cost_ratio(cost)} for label, cost in costs(found).items()}

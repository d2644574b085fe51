"""Numbers of a comparison: scores of every model, differences on the same objects, and the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from skyreel.evaluate.calibration import calibration_error
from skyreel.evaluate.comparison import Comparison, Entry, matched, same_movies
from skyreel.evaluate.controls import verdict
from skyreel.evaluate.cost import cost_of
from skyreel.evaluate.intervals import interval, paired_difference
from skyreel.evaluate.metrics import LONGEST, score
from skyreel.evaluate.outcomes import Outcomes, join_outcomes
from skyreel.evaluate.paper_numbers import PAPER, PaperNumber
from skyreel.evaluate.resampling import resample, wilson
from skyreel.evaluate.strata import strata
from skyreel.evaluate.timing import at_alert, stable_answer

Tick = Callable[[int], Any]
_MEANS = ("log_loss", "brier", "ece", "ece_chance", "area")


def numbers(found: Comparison, *, seed: int = 0, tick: Tick | None = None) -> dict[str, Any]:
    """All numbers of the report: the content of its metrics.json.

    Parameters
    ----------
    found : Comparison
    seed : int
        Of the bootstraps.
    tick : callable or None
        Told the number of entries that are done.

    Returns
    -------
    dict
        JSON-ready: ``entries`` (`entry_scores`, and ``simulated``), ``differences`` (every pair of models on the same objects,
        `intervals.paired_difference`), ``tuning`` (after less before fine-tuning, by class), ``paper`` (`beside_paper`),
        ``cost`` (model -> seconds) and ``runs`` (what they were made with).
    """
    scored = []
    for entry in found.entries:
        scored.append(entry_scores(entry, seed=seed) | {"simulated": entry.data in found.simulated})
        if tick:
            tick(1)
    return {
        "entries": scored,
        "differences": differences(found, seed=seed),
        "tuning": [row for entry in found.entries for row in _tuning(entry, seed)],
        "paper": beside_paper(found, scored),
        "cost": cost_of(found),
        "runs": [
            {"folder": run.folder, "verb": run.verb, "label": label, "training_seed": run.origin.seed, **run.record}
            for run, label in zip(found.runs, found.labels, strict=True)
        ],
    }


def entry_scores(entry: Entry, *, seed: int = 0) -> dict[str, Any]:
    """Scores of one model on one set under one protocol.

    Returns
    -------
    dict
        ``name``, ``label``, ``classifier``, ``per_class``, ``data``, ``protocol``, ``runs``, ``seeds``, ``of`` and ``n_parts`` (seeds or
        draws); ``n_objects`` and ``counts`` (means over the parts); ``mean_recall``, ``accuracy`` and ``recall`` (class ->) with
        intervals and spread (`intervals.interval`), ``bright`` (the same of the bright subset, None where all are);
        ``log_loss``, ``brier``, ``ece``, ``ece_chance``, ``area``: ``value`` and ``spread`` over the parts; ``ece_interval`` and
        ``precision`` (class ->, at equal shares); ``by_n_images`` -> ``mean_recall``, ``accuracy`` (``value``, ``spread``);
        ``stable``, ``alert``, ``strata``: of all parts together, intervals for the objects of one; ``controls`` and
        ``verdict``: `controls.verdict`, None without controls.
    """
    parts = entry.outcomes
    each = [score(part, resamples=1) for part in parts]
    steps = [str(k) for k in range(1, LONGEST + 1)]
    pooled = join_outcomes(parts)
    out: dict[str, Any] = {name: getattr(entry, name) for name in ("name", "label", "classifier", "per_class", "data", "protocol", "of")}
    out |= {"runs": list(dict.fromkeys(part.run for part in entry.parts)), "n_parts": len(parts)}
    out |= {"seeds": sorted({part.tag[0] for part in entry.parts}), "n_objects": float(np.mean([len(part) for part in parts]))}
    out["counts"] = {name: float(np.mean([item["counts"].get(name, 0) for item in each])) for name in _present(parts)}
    out |= _recalls(parts, seed)
    bright = [part.take(part.bright) for part in parts]
    subset = any(len(few) < len(part) for few, part in zip(bright, parts, strict=True)) and all(map(len, bright))
    out["bright"] = _recalls(bright, seed) | {"counts": _counts(bright)} if subset else None
    out |= {name: _mean([item[name] for item in each]) for name in _MEANS}
    out["ece_interval"] = calibration_error(parts[0], None, resample(parts, seed))["ece_interval"] if len(parts) == 1 else None
    out["precision"] = {name: _mean([item["precision"].get(name) for item in each]) for name in _present(parts)}
    out["by_n_images"] = {
        k: {name: _mean([item["by_n_images"][k][name] for item in each]) for name in ("mean_recall", "accuracy")} for k in steps
    }
    out["stable"] = stable_answer(pooled)
    out["alert"] = _alert(pooled, len(parts))
    out["strata"] = {key: [_stratum(cell, len(parts)) for cell in cells] for key, cells in strata(pooled).items()}
    return out | _controls(entry, seed)


def differences(found: Comparison, *, seed: int = 0) -> list[dict[str, Any]]:
    """Mean recall of every model less that of every later one, on the same objects; pairs without any are left out."""
    out = []
    for data in dict.fromkeys(entry.data for entry in found.entries):
        for protocol in found.protocols(data):
            for b, a in combinations(found.of(data, protocol), 2):
                left, right = matched(a, b)
                if left:
                    row = {"data": data, "protocol": protocol, "a_name": a.name, "b_name": b.name}
                    out.append(row | paired_difference(left, right, seed=seed))
    return out


def beside_paper(found: Comparison, scored: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every number of the paper with ours: ``paper`` (its columns) and ``ours`` (one row for each model it can be compared with)."""
    rows = []
    for item in PAPER:
        sets = [name for name in found.simulated if name.endswith(f" {item.data}")] if item.data != "real" else list(found.real)
        mine = [entry for entry in scored if _answers(entry, item, sets)]
        ours = [{"name": entry["name"], "data": entry["data"], **_of_metric(entry, item.metric)} for entry in mine]
        subset = [
            {"name": f"{entry['name']}, bright subset", "data": entry["data"], **_of_metric(entry["bright"], item.metric)}
            for entry in mine
            if entry["bright"] and item.metric in ("mean_recall", "supernova")
        ]
        rows.append({"paper": {name: getattr(item, name) for name in item.__dataclass_fields__}, "ours": ours + subset})
    return rows


def _answers(entry: Mapping[str, Any], item: PaperNumber, sets: Sequence[str]) -> bool:
    same = entry["classifier"] == item.classifier and bool(entry["per_class"]) == item.tuned
    known = item.metric in ("mean_recall", "accuracy") or item.metric in entry["recall"]
    return same and known and entry["data"] in sets and entry["protocol"] == "paper"


def _of_metric(scores: Mapping[str, Any], metric: str) -> dict[str, Any]:
    found = scores[metric] if metric in ("mean_recall", "accuracy") else scores["recall"][metric]
    return {key: found[key] for key in ("value", "95", "spread")}


def _present(parts: Sequence[Outcomes]) -> list[str]:
    """Classes with objects in every part, in the classifier's order."""
    return [name for name in parts[0].classes if all((part.label == name).any() for part in parts)]


def _counts(parts: Sequence[Outcomes]) -> dict[str, float]:
    return {name: float(np.mean([(part.label == name).sum() for part in parts])) for name in _present(parts)}


def _recalls(parts: Sequence[Outcomes], seed: int) -> dict[str, Any]:
    scores = {metric: interval(parts, metric=metric, seed=seed) for metric in ("mean_recall", "accuracy")}
    return scores | {"recall": {name: interval(parts, metric=name, seed=seed) for name in _present(parts)}}


def _mean(values: Sequence[float | None]) -> dict[str, float | None]:
    known = np.array([value for value in values if value is not None], np.float64)
    spread = float(known.std(ddof=1)) if len(known) > 1 else None
    return {"value": float(known.mean()) if len(known) else None, "spread": spread}


def _controls(entry: Entry, seed: int) -> dict[str, Any]:
    """The verdict over the parts that have controls beside them."""
    with_controls = [part for part in entry.parts if part.controls]
    if not with_controls:
        return {"controls": None, "verdict": None}
    names = [name for name in with_controls[0].controls if all(name in part.controls for part in with_controls)]
    beside = {name: [part.controls[name] for part in with_controls] for name in names}
    judged = verdict([part.outcomes for part in with_controls], beside, seed=seed)
    return {"controls": judged.pop("controls"), "verdict": judged}


def _tuning(entry: Entry, seed: int) -> list[dict[str, Any]]:
    """What fine-tuning changed: mean recall and recall of each class, after less before, draw by draw on the same objects."""
    pairs = [(part.outcomes, part.before) for part in entry.parts if part.before is not None]
    pairs = [(after, before) for after, before in pairs if same_movies(after, before) is None]
    if not pairs:
        return []
    after, before = [a for a, _ in pairs], [b for _, b in pairs]
    row = {"name": entry.name, "data": entry.data, "protocol": entry.protocol, "draws": len(pairs)}
    return [row | {"metric": name} | paired_difference(after, before, metric=name, seed=seed) for name in ("mean_recall", *_present(after))]


def _alert(pooled: Outcomes, parts: int) -> dict[str, Any]:
    """Recall at and after the alert; numbers and intervals for the objects of one part."""
    out = at_alert(pooled)
    for cell in out.values():
        for after in cell["after"].values():
            after["interval"] = _interval(after["recall"], cell["n"] / parts)
            after["reached"] = after["reached"] / parts
        cell["n"], cell["without"] = cell["n"] / parts, cell["without"] / parts
    return out


def _stratum(cell: Mapping[str, Any], parts: int) -> dict[str, Any]:
    """A cell of all parts together with numbers and intervals for the objects of one."""
    recall = {
        name: {"n": item["n"] / parts, "recall": item["recall"], "interval": _interval(item["recall"], item["n"] / parts)}
        for name, item in cell["recall"].items()
    }
    number = cell["n"] / parts
    return {**cell, "n": number, "interval": _interval(cell["accuracy"], number), "recall": recall}


def _interval(share: float, number: float) -> list[float]:
    lower, upper = wilson(share, number)
    return [float(lower), float(upper)]

"""Scores as rows of text, for the terminal and for the report alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skyreel.evaluate.names import long_name, short_name

Rows = tuple[str, list[str], list[list[str]]]
"""A table as text: title, head, rows."""


def protocol_rows(metrics: Mapping[str, Any]) -> list[Rows]:
    """Mean recall under every protocol, of all objects and of the bright subset, and recalls; none where one was scored."""
    protocols = metrics.get("protocols", {})
    if len(protocols) < 2:
        return []
    subset = any(scores["bright"] for scores in protocols.values())
    head = ["protocol", "all", "68 %", "95 %", *(["bright", "95 %"] if subset else [])]
    means, recalls = [], []
    for name, scores in protocols.items():
        cells = [_share(scores["mean_recall"]), *(_range(scores["mean_recall_interval"][level]) for level in ("68", "95"))]
        if subset:
            bright = scores["bright"]
            cells += [_share(bright["mean_recall"]), _range(bright["mean_recall_interval"]["95"])] if bright else ["", ""]
        means.append([long_name(name), *cells])
        recalls.append([long_name(name), *(_share(scores["recall"][label]) for label in metrics["recall"])])
    sizes = f"{metrics['n_objects']} objects" + (f"; bright: {_of_subset(metrics)}" if metrics["bright"] else "")
    return [
        (f"Mean recall by protocol [%], {sizes}", head, means),
        ("Recall by protocol [%]", ["protocol", *map(short_name, metrics["recall"])], recalls),
    ]


def control_rows(metrics: Mapping[str, Any]) -> list[Rows]:
    """Mean recall of the controls beside the model's; no table without controls."""
    if not metrics.get("controls"):
        return []
    protocols = metrics["controls"]
    rows = [["(the model)", *(_share(metrics["protocols"][name]["mean_recall"]) for name in protocols)]]
    for control in next(iter(protocols.values())):
        cells = [found[control] for found in protocols.values()]
        rows.append([long_name(control), *(_share(cell["mean_recall"]["value"]) + ("" if cell["cleared"] else " *") for cell in cells)])
    return [("Mean recall of classifiers that see one cheap thing only [%]; * not cleared", ["sees", *map(long_name, protocols)], rows)]


def difference_rows(metrics: Mapping[str, Any], protocols: Sequence[str] | None = None) -> list[Rows]:
    """Mean recall of the model less that of each control, one table for each of `protocols` (None: all)."""
    out = []
    for name in protocols or metrics.get("controls", {}):
        rows = []
        for control, cell in metrics.get("controls", {}).get(name, {}).items():
            found = cell["difference"]
            rows.append([long_name(control), _signed(found["value"]), *(_range(found[level], _signed) for level in ("68", "95"))])
        if rows:
            out.append((f"Model less control, {long_name(name)} [%]", ["control", "difference", "68 %", "95 %"], rows))
    return out


def verdict_lines(metrics: Mapping[str, Any]) -> list[str]:
    """One line for each protocol that says which controls the model does not clear."""
    lines = []
    for name, found in metrics.get("verdict", {}).items():
        failed = ", ".join(long_name(control) for control in found["not_cleared"])
        lines.append(f"{long_name(name)}: " + (f"does not clear: {failed}" if failed else "clears all controls"))
    return lines


def quality_rows(metrics: Mapping[str, Any]) -> list[Rows]:
    """Precision, time to a stable right answer and recall at the first detection, class by class; then calibration."""
    shares = metrics["prevalence"]
    equal = len({round(share, 9) for share in shares.values()}) == 1
    stated = "equally frequent classes" if equal else ", ".join(f"{short_name(name)} {share:.3g}" for name, share in shares.items())
    head = ["class", "precision", "images", "days", "never", "at alert", "3 later"]
    rows = []
    for name in metrics["recall"]:
        precision, time, alert = metrics["precision"][name], metrics["stable"][name], metrics["alert"].get(name)
        cells = ["–" if precision is None else _share(precision), _median(time["images"], ".0f"), _median(time["days"], ".1f")]
        cells += [_share(time["never"]), *(_at(alert, k) for k in ("0", "3"))]
        rows.append([long_name(name), *cells])
    return [
        (f"Precision [%] for {stated}; median time to a stable right answer, share never; recall at the alert [%]", head, rows),
        ("Probabilities after the last image", ["score", "value", "95 %"], _probability_rows(metrics)),
    ]


def _probability_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    rows = [["log loss", f"{metrics['log_loss']:.3f}", ""], ["Brier score", f"{metrics['brier']:.3f}", ""]]
    rows.append(["expected calibration error [%]", _share(metrics["ece"]), _range(metrics["ece_interval"]["95"])])
    rows.append(["the same by chance alone [%]", _share(metrics["ece_chance"]), ""])
    return [*rows, ["mean recall, mean over 1 to 22 images [%]", _share(metrics["area"]), _range(metrics["area_interval"]["95"])]]


def strata_rows(metrics: Mapping[str, Any]) -> list[Rows]:
    """Recall of every class by magnitude, signal to noise and saturation, with the number of objects."""
    names = list(metrics["recall"])
    titles = {"magnitude": "magnitude", "snr": "signal to noise of an image", "saturated": "saturation"}
    out = []
    for key, title in titles.items():
        rows = [
            [_stratum(cell), str(cell["n"]), _share(cell["accuracy"]), *(_of_class(cell["recall"].get(name)) for name in names)]
            for cell in metrics["strata"][key]
            if cell["n"]
        ]
        out.append(
            (f"Accuracy and recall by {title} [%], objects in brackets", [title, "objects", "accuracy", *map(short_name, names)], rows)
        )
    return out


def _stratum(cell: Mapping[str, Any]) -> str:
    if "value" in cell:
        return "some pixel" if cell["value"] else "none"
    low, high = cell["low"], cell["high"]
    if low is None:
        return "unknown" if high is None else f"below {high:g}"
    return f"from {low:g} on" if high is None else f"{low:g} to {high:g}"


def _of_class(cell: Mapping[str, Any] | None) -> str:
    return f"{_share(cell['recall'])} ({cell['n']})" if cell and cell["n"] else ""


def _median(time: Mapping[str, float | None], form: str) -> str:
    return "over half never" if time["median"] is None else format(time["median"], form)


def _at(alert: Mapping[str, Any] | None, later: str) -> str:
    return _share(alert["after"][later]["recall"]) if alert and alert["after"].get(later) else ""


def _of_subset(metrics: Mapping[str, Any]) -> str:
    """'25 of 49 supernovae': the classes of which the bright subset leaves objects out."""
    bright, counts = metrics["bright"]["counts"], metrics["counts"]
    return ", ".join(f"{bright.get(name, 0)} of {n} {short_name(name)}" for name, n in counts.items() if bright.get(name, 0) < n)


def _share(value: float) -> str:
    return f"{100 * value:.1f}"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}"


def _range(limits: Sequence[float], text: Callable[[float], str] = _share) -> str:
    return f"{text(limits[0])} to {text(limits[1])}"

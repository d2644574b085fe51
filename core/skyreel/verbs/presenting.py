"""What a scored run leaves: tables on the terminal, metrics.json, outcomes.parquet, exhibits.npz and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from omegaconf import OmegaConf

from skyreel.evaluate import figures as draw
from skyreel.evaluate.exhibits_parts import Exhibits
from skyreel.evaluate.figures_calibration import purity_figure, reliability_figure
from skyreel.evaluate.figures_objects import failure_gallery, object_figure, twin_figure
from skyreel.evaluate.figures_style import Drawing
from skyreel.evaluate.outcomes import OUTCOMES, Key, Outcomes, write_outcomes
from skyreel.evaluate.report import write_report
from skyreel.evaluate.table import print_scores
from skyreel.files import write_text
from skyreel.hydra_glue import config_hash, provenance
from skyreel.verbs.terminal import console

METRICS = "metrics.json"
REPORT = "report.html"
HISTORY = "history.json"
"""File of a training's folder with its losses."""


def present(
    run_dir: Path,
    config: Any,
    metrics: Mapping[str, Any],
    outcomes: Mapping[Key, Outcomes],
    exhibits: Exhibits,
    *,
    headline: Outcomes,
    notes: Sequence[str],
    shown: Sequence[str] = ("typical", "supernova"),
) -> None:
    """Prints the scores and writes all files of a scored run but exhibits.npz.

    Parameters
    ----------
    run_dir : Path
    config : mapping
        The run's.
    metrics : mapping
        `skyreel.verbs.scoring.summary` with ``data`` and whatever else metrics.json holds.
    outcomes : mapping of Key -> Outcomes
        All of the run.
    exhibits : Exhibits
        The objects that the report shows.
    headline : Outcomes
        Those behind the top level of `metrics`.
    notes : sequence of str
        What a reader must know to judge the scores.
    shown : sequence of str
        Kinds of objects (`Shown.why`) that the report shows one by one; the failures follow in one figure.
    """
    left_out = metrics.get("labels_left_out", {})
    classes = f"argmax over {len(metrics['classes'])} classes"
    console.print(f"\nScores on {metrics['data']}, protocol {metrics['protocol']}: {metrics['n_objects']} objects, {classes}")
    if left_out:
        names = ", ".join(f"{n} {name!r}" for name, n in left_out.items())
        console.print(f"Not scored, because the model does not know their labels: {names}")
    if metrics["unscored"]:
        console.print(f"Not scored, without a usable image: {', '.join(f'{n} {name}' for name, n in metrics['unscored'].items())}")
    print_scores(metrics, console)
    write_text(run_dir / METRICS, json.dumps(metrics, indent=2, allow_nan=False))
    write_outcomes(run_dir / OUTCOMES, outcomes)
    report = write_report(
        run_dir / REPORT,
        title=f"skyreel: {metrics['data']}",
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(config), resolve=True),
        metrics=metrics,
        figures=_figures(metrics, headline, run_dir) | _objects(exhibits, shown),
        provenance=run_provenance(config, str(metrics["data"])),
        notes=notes,
    )
    console.print(f"report: {report}")


def run_provenance(config: Any, data: str) -> dict[str, str]:
    """Rows of a report's last table: every version, plugin and name as a line of text."""
    rows = {"data": data, "model": str(config.model or "trained in this run"), "seed of this run": str(config.seed)}
    rows["config hash"] = config_hash(config)
    for name, value in provenance().items():
        rows[name.replace("_", " ")] = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    return rows


def data_notes(metrics: Mapping[str, Any]) -> list[str]:
    """What was left out of a data set, and which labels and objects were not scored."""
    notes, counts = [], metrics["dataset"]
    if counts:
        kept = ", ".join(f"{name} {counts['kept'][name]} of {read}" for name, read in counts["objects"].items())
        why = [f"{name}: {reason} ({k})" for name, reasons in counts["left_out"].items() for reason, k in reasons.items()]
        notes.append(f"Objects used: {kept}. Left out: {'; '.join(why) or 'none'}.")
    if metrics["labels_left_out"]:
        notes.append(f"Labels that the model does not know, not scored: {metrics['labels_left_out']}.")
    if metrics["unscored"]:
        notes.append(f"Objects without a usable image, not scored: {metrics['unscored']}.")
    return notes


def _figures(metrics: Mapping[str, Any], headline: Outcomes, run_dir: Path) -> dict[str, Figure]:
    out = {
        "Accuracy and mean recall against the number of images": draw.accuracy_figure(metrics),
        "Recall of each class against the number of images": draw.recall_figure(metrics),
        "Confusion": draw.confusion_figure(metrics),
    }
    history = run_dir / HISTORY
    if history.is_file():
        out["Training"] = draw.training_figure(json.loads(history.read_text()))
    drawings = [reliability_figure({"model": headline}, str(metrics["data"]))]
    if "supernova" in metrics["recall"] and len(metrics["recall"]) > 1:
        drawings.append(purity_figure({"model": headline}, str(metrics["data"])))
    return out | _by_caption(drawings)


def _objects(exhibits: Exhibits, kinds: Sequence[str]) -> dict[str, Figure]:
    """Objects of these kinds (each once), the failures, and one star beside its simulated twin."""
    shown = exhibits.shown
    rows = [row for kind in kinds for row in shown.rows(kind)]
    first = {str(shown.object_id[row]): row for row in reversed(rows)}
    out = [object_figure(exhibits, int(row)) for row in rows if first[str(shown.object_id[row])] == row]
    if len(shown.rows("failure")):
        out.append(failure_gallery(exhibits))
    stars = len(exhibits.twins.object_id)
    return _by_caption([*out, *([twin_figure(exhibits.twins, stars // 2)] if stars else [])])


def _by_caption(drawings: Sequence[Drawing]) -> dict[str, Figure]:
    return {item.caption: item.figure for item in drawings}

"""What a fine-tuning tells: metrics.json, a table on the terminal, report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from rich.table import Table

from skyreel.evaluate.controls import CONTROLS, verdict
from skyreel.evaluate.figures_confusion import confusion_matrices
from skyreel.evaluate.figures_time import recall_over_samples
from skyreel.evaluate.metrics import score
from skyreel.evaluate.names import long_name
from skyreel.evaluate.outcomes import Key, Outcomes, join_outcomes
from skyreel.evaluate.report import write_report
from skyreel.files import write_text
from skyreel.hydra_glue import config_hash
from skyreel.verbs.evaluate import prevalence_of
from skyreel.verbs.finetune_scores import ALERT_WINDOW, AS_IT_CAME, SIMULATED, TUNED, compared, draws_of
from skyreel.verbs.presenting import METRICS, REPORT, data_notes, run_provenance
from skyreel.verbs.terminal import console

if TYPE_CHECKING:
    from skyreel.verbs.finetune import Setting


def report(
    run_dir: Path, config: Any, setting: Setting, outcomes: Mapping[Key, Outcomes], trainings: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Scores all draws, writes metrics.json and report.html, prints the table, and returns the metrics.

    Returns
    -------
    dict
        At the top level the means of the headline's scores after fine-tuning, in the layout of `metrics.score`; besides
        ``protocols`` and ``simulated`` (`finetune_scores.compared`), ``verdict`` (`controls.verdict`, None without
        controls), ``training`` (of each draw) and what was used.
    """
    data = setting.data
    shares = prevalence_of(config)
    pairs = {name: _pair(outcomes, data.name, name) for name in setting.protocols}
    known = _pair(outcomes, SIMULATED, ALERT_WINDOW)
    seed = int(config.seed)
    protocols = {name: compared(*pair, prevalence=shares, seed=seed) for name, pair in pairs.items()}
    headline = setting.protocols[0]
    metrics = {
        **protocols[headline]["after"]["mean"],
        "data": data.name,
        "config_hash": config_hash(config),
        "dataset": dict(data.counts),
        "labels_left_out": data.strange,
        "unscored": data.blank,
        "per_class": int(config.per_class),
        "draws": int(config.draws),
        "protocol": headline,
        "protocols": protocols,
        "simulated": compared(*known, prevalence=None, seed=seed),
        "simulated_movies": setting.simulated.note,
        "verdict": _verdict(outcomes, data.name, headline, seed),
        "training": [dict(figures) for figures in trainings],
    }
    write_text(run_dir / METRICS, json.dumps(metrics, indent=2, allow_nan=False))
    _print(metrics)
    pooled = score(join_outcomes(pairs[headline][1]), prevalence=shares, seed=seed)
    drawings = {
        "over images": recall_over_samples({"before": pairs[headline][0]}, {"after": pairs[headline][1]}, f"{data.name}, {headline}"),
        "confusion": confusion_matrices(
            {"before": pairs[headline][0], "after": pairs[headline][1]}, f"{data.name}, {headline}", of="draws"
        ),
        "simulated": confusion_matrices({"before": known[0][:1], "after": known[1]}, "simulated movies", of="draws"),
    }
    path = write_report(
        run_dir / REPORT,
        title=f"skyreel: fine-tuned on {data.name}",
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(config), resolve=True),
        metrics=pooled,
        figures={drawing.caption: drawing.figure for drawing in drawings.values()},
        provenance=run_provenance(config, data.name),
        notes=_notes(metrics),
    )
    console.print(f"report: {path}")
    return metrics


def _pair(outcomes: Mapping[Key, Outcomes], data: str, protocol: str) -> tuple[list[Outcomes], list[Outcomes]]:
    before, after = (draws_of(outcomes, data, protocol, model) for model in (AS_IT_CAME, TUNED))
    return before, after


def _verdict(outcomes: Mapping[Key, Outcomes], data: str, protocol: str, seed: int) -> dict[str, Any] | None:
    controls = {name: draws_of(outcomes, data, protocol, name) for name in CONTROLS}
    if not all(controls.values()):
        return None
    return verdict(draws_of(outcomes, data, protocol, TUNED), controls, seed=seed)


def _print(metrics: Mapping[str, Any]) -> None:
    console.print(
        f"\nFine-tuned on {metrics['per_class']} objects per class of {metrics['data']}, {metrics['draws']} draws, "
        f"argmax over {len(metrics['classes'])} classes"
    )
    if metrics["labels_left_out"]:
        left = ", ".join(f"{n} {name!r}" for name, n in metrics["labels_left_out"].items())
        console.print(f"Not used, because the model does not know their labels: {left}")
    for name, row in metrics["protocols"].items():
        console.print(_recalls(f"{metrics['data']}, {name}", row))
    console.print(_recalls("simulated movies", metrics["simulated"]))
    for line in verdict_lines(metrics):
        console.print(line)


def _recalls(title: str, row: Mapping[str, Any]) -> Table:
    """Recall of every class before and after [per cent], with the spread over the draws."""
    table = Table(title=f"Recall on {title} after the last image [%]", title_justify="left")
    for column in ("class", "objects", "before", "after"):
        table.add_column(column, justify="left" if column == "class" else "right")
    before, after = row["before"], row["after"]
    for name in after["mean"]["recall"]:
        cells = [_cell(part["mean"]["recall"][name], part["spread"]["recall"][name]) for part in (before, after)]
        table.add_row(long_name(name), f"{after['mean']['counts'][name]:.0f}", *cells)
    table.add_section()
    for key in ("mean_recall", "accuracy"):
        cells = [_cell(part["mean"][key], part["spread"][key]) for part in (before, after)]
        table.add_row(long_name(key), f"{after['mean']['n_objects']:.0f}", *cells, style="bold")
    if after["mean"]["bright"]:
        cells = [_cell(part["mean"]["bright"]["mean_recall"], part["spread"]["bright"]["mean_recall"]) for part in (before, after)]
        table.add_row("mean recall, bright subset", f"{after['mean']['bright']['n_objects']:.0f}", *cells)
    return table


def _cell(mean: float, spread: float | None) -> str:
    return f"{100 * mean:.1f}" if spread is None else f"{100 * mean:.1f} ± {100 * spread:.1f}"


def verdict_lines(metrics: Mapping[str, Any]) -> list[str]:
    """What is said about the controls; nothing where there were none."""
    found = metrics["verdict"]
    if found is None:
        return []
    lines = [
        f"control {name}: mean recall {100 * row['mean_recall']['value']:.1f} %, {_range(row['mean_recall'])}"
        for name, row in found["controls"].items()
    ]
    failed = ", ".join(found["not_cleared"])
    return [*lines, f"does not clear: {failed}" if failed else "clears all controls"]


def _range(interval: Mapping[str, Any]) -> str:
    low, high = interval["95"]
    return f"95 % interval {100 * low:.1f} to {100 * high:.1f}"


def _notes(metrics: Mapping[str, Any]) -> list[str]:
    notes = [
        f"{metrics['draws']} independent draws of {metrics['per_class']} objects per class. Each draw starts from the model as it came and "
        "is scored on the objects that it left; an object is counted once per draw in the tables, so that their binomial errors are "
        "too small by up to the root of the number of draws. The lines below give mean and spread over the draws.",
        f"Simulated movies: {metrics['simulated_movies']}.",
    ]
    for name, row in (*metrics["protocols"].items(), ("simulated movies", metrics["simulated"])):
        before, after = (_cell(row[part]["mean"]["mean_recall"], row[part]["spread"]["mean_recall"]) for part in ("before", "after"))
        notes.append(
            f"{name}: mean recall [%] {before} before, {after} after fine-tuning, {_range(row['after']['interval'])} over fields and "
            f"draws; change {100 * row['difference']['value']:+.1f}, {_range(row['difference'])}."
        )
    return [*notes, *verdict_lines(metrics), *data_notes(metrics)]

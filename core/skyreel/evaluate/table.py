"""Scores on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.table import Table

from skyreel.evaluate.names import long_name, short_name
from skyreel.evaluate.rows import control_rows, difference_rows, protocol_rows, quality_rows, verdict_lines


def print_scores(metrics: Mapping[str, Any], console: Console | None = None) -> None:
    """Recall per class and confusion after some numbers of images, to the terminal.

    Parameters
    ----------
    metrics : mapping
        What `skyreel.evaluate.metrics.score` returned, or `skyreel.verbs.scoring.summary`: then protocols and controls are
        shown too. ``n_images`` says which numbers of images are shown.
    console : rich Console or None
        None writes to standard output.
    """
    console = console or Console()
    console.print(recall_table(metrics))
    console.print(Columns([confusion_table(metrics, k) for k in metrics["n_images"]], padding=(1, 3)))
    headline = [metrics["protocol"]] if metrics.get("controls") else []
    tables = (*quality_rows(metrics), *protocol_rows(metrics), *control_rows(metrics), *difference_rows(metrics, headline))
    for title, head, rows in tables:
        console.print(_plain_table(title, head, rows))
    for line in verdict_lines(metrics):
        console.print(line)


def recall_table(metrics: Mapping[str, Any]) -> Table:
    """Recall of every class, their mean and the accuracy [per cent]; binomial errors at the last image."""
    table = Table(title="Recall after a number of images [%]", title_justify="left")
    table.add_column("class")
    table.add_column("objects", justify="right")
    for k in metrics["n_images"]:
        table.add_column(str(k), justify="right")
    table.add_column("last", justify="right")
    steps = [metrics["by_n_images"][str(k)] for k in metrics["n_images"]]
    for name, recall in metrics["recall"].items():
        cells = [f"{100 * step['recall'][name]:.1f}" for step in steps]
        last = f"{100 * recall:.1f} ± {100 * metrics['recall_error'][name]:.1f}"
        table.add_row(long_name(name), str(metrics["counts"][name]), *cells, last)
    table.add_section()
    for key in ("mean_recall", "accuracy"):
        cells = [f"{100 * step[key]:.1f}" for step in steps]
        last = f"{100 * metrics[key]:.1f} ± {100 * metrics[f'{key}_error']:.1f}"
        table.add_row(key.replace("_", " "), str(metrics["n_objects"]), *cells, last, style="bold")
    return table


def confusion_table(metrics: Mapping[str, Any], n_images: int) -> Table:
    """Numbers of objects by true (rows) and predicted class (columns)."""
    table = Table(title=f"After {n_images} images: true × predicted", title_justify="left")
    table.add_column("")
    for name in metrics["classes"]:
        table.add_column(short_name(name), justify="right")
    for name, line in metrics["by_n_images"][str(n_images)]["confusion"].items():
        cells = [f"[bold]{number}[/bold]" if other == name else str(number or "·") for other, number in line.items()]
        table.add_row(short_name(name), *cells)
    return table


def _plain_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for k, name in enumerate(head):
        table.add_column(name, justify="right" if k else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table

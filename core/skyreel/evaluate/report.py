"""One self-contained HTML file with scores, figures, config and provenance: no network, no scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from skyreel.evaluate.names import long_name, short_name
from skyreel.evaluate.page import cells_html, document, figure_html, list_html, pairs_html, png_bytes, table_html, tiles_html
from skyreel.evaluate.rows import Rows, control_rows, difference_rows, protocol_rows, quality_rows, strata_rows, verdict_lines
from skyreel.files import write_text


def write_report(
    path: Path,
    *,
    title: str,
    config_yaml: str,
    metrics: Mapping[str, Any],
    figures: Mapping[str, Figure],
    provenance: Mapping[str, Any],
    notes: Sequence[str],
) -> Path:
    """Writes the report, in one go: a reader never meets half a file.

    Parameters
    ----------
    path : Path
        The HTML file; its folder is made if need be, an older report is replaced.
    title : str
    config_yaml : str
        The run's config.
    metrics : mapping
        What `skyreel.evaluate.metrics.score` returned, or `skyreel.verbs.scoring.summary`: then with protocols, controls and
        a visible line for every control that is not cleared.
    figures : mapping of str -> Figure
        Caption -> figure, in the order shown.
    provenance : mapping
        Versions, seeds, data: name -> value, shown as text.
    notes : sequence of str
        What a reader must know to judge the scores.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        _tiles(metrics),
        *(f'<p class="verdict">{escape(line)}</p>' for line in verdict_lines(metrics)),
        _notes(notes),
        *_plain("Protocols", protocol_rows(metrics)),
        *_plain("Controls", [*control_rows(metrics), *difference_rows(metrics)]),
        "<h2>Recall</h2>",
        _recall(metrics),
        *_plain("Precision, timing and calibration", quality_rows(metrics)),
        "<h2>Figures</h2>" if figures else "",
        *(_figure(name, figure) for name, figure in figures.items()),
        "<h2>Confusion</h2>",
        f'<div class="side">{"".join(_confusion(metrics, k) for k in metrics["n_images"])}</div>',
        *_plain("By brightness", strata_rows(metrics)),
        "<h2>Provenance</h2>",
        pairs_html(provenance),
        f"<details><summary>Config of the run</summary><pre>{escape(config_yaml)}</pre></details>",
    ]
    write_text(path, document(title, parts))
    return path


def _under(metrics: Mapping[str, Any]) -> str:
    return f", {long_name(metrics['protocol'])}" if len(metrics.get("protocols", ())) > 1 else ""


def _tiles(metrics: Mapping[str, Any]) -> str:
    values = {
        f"mean recall{_under(metrics)}": f"{metrics['mean_recall']:.1%} ± {100 * metrics['mean_recall_error']:.1f}",
        "accuracy": f"{metrics['accuracy']:.1%} ± {100 * metrics['accuracy_error']:.1f}",
        "log loss": f"{metrics['log_loss']:.3f}",
        "objects": str(metrics["n_objects"]),
    }
    return tiles_html(values)


def _notes(notes: Sequence[str]) -> str:
    return f"<h2>Notes</h2>{list_html(notes)}" if notes else ""


def _recall(metrics: Mapping[str, Any]) -> str:
    steps = [metrics["by_n_images"][str(k)] for k in metrics["n_images"]]
    head = cells_html("th", ["class", "objects", *(str(k) for k in metrics["n_images"]), "last"])
    rows = []
    for name, recall in metrics["recall"].items():
        values = [f"{100 * step['recall'][name]:.1f}" for step in steps]
        last = f"{100 * recall:.1f} ± {100 * metrics['recall_error'][name]:.1f}"
        rows.append(f"<tr>{cells_html('td', [long_name(name), str(metrics['counts'][name]), *values, last])}</tr>")
    for key in ("mean_recall", "accuracy"):
        values = [f"{100 * step[key]:.1f}" for step in steps]
        last = f"{100 * metrics[key]:.1f} ± {100 * metrics[f'{key}_error']:.1f}"
        rows.append(f'<tr class="sum">{cells_html("td", [long_name(key), str(metrics["n_objects"]), *values, last])}</tr>')
    caption = "Per cent of each class that is recognised after a number of images, with binomial errors at the last image."
    return table_html(caption, head, rows)


def _confusion(metrics: Mapping[str, Any], n_images: int) -> str:
    head = cells_html("th", ["true", *(short_name(name) for name in metrics["classes"])])
    rows, own = [], ' class="own"'
    for name, line in metrics["by_n_images"][str(n_images)]["confusion"].items():
        cells = "".join(f"<td{own if other == name else ''}>{number or '·'}</td>" for other, number in line.items())
        rows.append(f"<tr><td>{escape(long_name(name))}</td>{cells}</tr>")
    return table_html(f"Objects by true and predicted class after {n_images} images.", head, rows)


def _plain(title: str, tables: Sequence[Rows]) -> list[str]:
    parts = [f"<h2>{escape(title)}</h2>"] if tables else []
    for caption, head, rows in tables:
        parts.append(table_html(f"{caption}.", cells_html("th", head), [f"<tr>{cells_html('td', row)}</tr>" for row in rows]))
    return parts


def _figure(name: str, figure: Figure) -> str:
    return figure_html(png_bytes(figure), name, name)

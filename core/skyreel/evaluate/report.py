"""One self-contained HTML file with scores, figures, config and provenance: no network, no scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from skyreel.evaluate.names import long_name, short_name
from skyreel.files import write_text

DPI = 130
_STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --text: #1d2129; --soft: #5b6472; --line: #d9dde3; --card: #f4f6f8;
  --accent: #2f6aa8; }
@media (prefers-color-scheme: dark) { :root { --back: #14171c; --text: #e6e9ee; --soft: #9aa4b2; --line: #333a45;
  --card: #1d222a; --accent: #7fb2e8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 4rem; background: var(--back); color: var(--text);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0.5rem 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.7rem; padding-bottom: 0.25rem; border-bottom: 1px solid var(--line); }
.tiles { display: flex; flex-wrap: wrap; gap: 0.8rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem 1rem; min-width: 9rem; }
.tile b { display: block; font-size: 1.35rem; color: var(--accent); }
.tile span, caption, figcaption { color: var(--soft); font-size: 0.88rem; }
.wide { overflow-x: auto; }
.side { display: flex; flex-wrap: wrap; gap: 1.5rem 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
caption { text-align: left; padding-bottom: 0.35rem; }
th, td { padding: 0.28rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
thead th { color: var(--soft); font-weight: 600; }
td.own { font-weight: 700; color: var(--accent); }
tr.sum td, tr.sum th { font-weight: 700; }
.text td { text-align: left; overflow-wrap: anywhere; }
figure { margin: 1rem 0 1.6rem; }
figure img { max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 0.8rem 1rem; overflow-x: auto;
  font-size: 0.85rem; }
summary { cursor: pointer; color: var(--accent); }
"""


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
        What `skyreel.evaluate.metrics.score` returned.
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
        _notes(notes),
        "<h2>Recall</h2>",
        _recall(metrics),
        "<h2>Figures</h2>" if figures else "",
        *(_figure(name, figure) for name, figure in figures.items()),
        "<h2>Confusion</h2>",
        f'<div class="side">{"".join(_confusion(metrics, k) for k in metrics["n_images"])}</div>',
        "<h2>Provenance</h2>",
        _provenance(provenance),
        f"<details><summary>Config of the run</summary><pre>{escape(config_yaml)}</pre></details>",
    ]
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )
    write_text(path, page)
    return path


def _tiles(metrics: Mapping[str, Any]) -> str:
    values = {
        "mean recall": f"{metrics['mean_recall']:.1%} ± {100 * metrics['mean_recall_error']:.1f}",
        "accuracy": f"{metrics['accuracy']:.1%} ± {100 * metrics['accuracy_error']:.1f}",
        "log loss": f"{metrics['log_loss']:.3f}",
        "objects": str(metrics["n_objects"]),
    }
    tiles = "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for name, value in values.items())
    return f'<div class="tiles">{tiles}</div>'


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<h2>Notes</h2><ul>{items}</ul>" if items else ""


def _recall(metrics: Mapping[str, Any]) -> str:
    steps = [metrics["by_n_images"][str(k)] for k in metrics["n_images"]]
    head = _cells("th", ["class", "objects", *(str(k) for k in metrics["n_images"]), "last"])
    rows = []
    for name, recall in metrics["recall"].items():
        values = [f"{100 * step['recall'][name]:.1f}" for step in steps]
        last = f"{100 * recall:.1f} ± {100 * metrics['recall_error'][name]:.1f}"
        rows.append(f"<tr>{_cells('td', [long_name(name), str(metrics['counts'][name]), *values, last])}</tr>")
    for key in ("mean_recall", "accuracy"):
        values = [f"{100 * step[key]:.1f}" for step in steps]
        last = f"{100 * metrics[key]:.1f} ± {100 * metrics[f'{key}_error']:.1f}"
        rows.append(f'<tr class="sum">{_cells("td", [long_name(key), str(metrics["n_objects"]), *values, last])}</tr>')
    caption = "Per cent of each class that is recognised after a number of images, with binomial errors at the last image."
    return _table(caption, head, rows)


def _confusion(metrics: Mapping[str, Any], n_images: int) -> str:
    head = _cells("th", ["true", *(short_name(name) for name in metrics["classes"])])
    rows, own = [], ' class="own"'
    for name, line in metrics["by_n_images"][str(n_images)]["confusion"].items():
        cells = "".join(f"<td{own if other == name else ''}>{number or '·'}</td>" for other, number in line.items())
        rows.append(f"<tr><td>{escape(long_name(name))}</td>{cells}</tr>")
    return _table(f"Objects by true and predicted class after {n_images} images.", head, rows)


def _provenance(provenance: Mapping[str, Any]) -> str:
    rows = [f"<tr>{_cells('td', [name, str(value)])}</tr>" for name, value in provenance.items()]
    return f'<div class="wide text"><table><tbody>{"".join(rows)}</tbody></table></div>'


def _figure(name: str, figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    text = escape(name.replace("_", " "))
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _table(caption: str, head: str, rows: Sequence[str]) -> str:
    body = "\n".join(rows)
    return f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(tag: str, values: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(value)}</{tag}>" for value in values)

"""The report of a comparison: one self-contained HTML file, its figures as PNG and PDF, its tables as CSV and LaTeX."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from skyreel.errors import OutputError
from skyreel.evaluate import latex, page
from skyreel.evaluate.comparison import Comparison
from skyreel.evaluate.comparison_figures import Shot, shots
from skyreel.evaluate.comparison_tables import Table, limits, share, tables, verdicts
from skyreel.evaluate.names import long_name
from skyreel.evaluate.paper_numbers import NOT_COMPARABLE
from skyreel.files import write_bytes, write_text

REPORT, METRICS, FIGURES, TABLES = "report.html", "metrics.json", "figures", "tables"
"""What a comparison leaves in its folder."""
LIMIT = 9_500_000
"""Bytes of a page at most; figures beyond it stay files beside it."""
OPEN = {"headline": 4, "timing": 1, "strata": 1}
"""Tables of a section that are not folded; of other sections two."""
SECTIONS = {
    "headline": ("Headline", ""),
    "reading": ("How to read this", ""),
    "controls": (
        "Controls",
        "A model has shown something only where it beats classifiers that see one cheap thing: the magnitude, the first image, the "
        "number of images, the noise, or the fluxes without their order. A control is cleared where the 95 % interval of the "
        "difference of mean recall on the same objects lies above 0.",
    ),
    "differences": ("Paired differences", "Every two models on the objects that both were scored on."),
    "tuning": ("What fine-tuning changed", "Simulated movies show whether classes without real examples were forgotten."),
    "images": ("Over the number of images", "Figures 5, 6 and 7 of the paper."),
    "confusion": ("Confusion", "Figures 8 to 13 of the paper."),
    "strata": ("By magnitude, signal to noise and saturation", ""),
    "calibration": ("Calibration and purity", "Whether the probabilities can be believed."),
    "timing": ("Supernovae at their first detection, and time to a stable answer", ""),
    "objects": (
        "Single objects",
        "Appendix B of the paper: supernovae chosen by rule, at the quartiles of their final probability; then the worst errors.",
    ),
    "sky": ("Simulated and real", "Figure 14 and appendix A of the paper."),
    "cost": ("Cost", ""),
    "paper": ("The paper's numbers beside ours", ""),
    "limits": ("What is not comparable with the paper", ""),
    "provenance": ("Provenance", "What every run was made with."),
}
"""Key -> title and first sentence, in the order shown."""
READING = (
    "Mean recall gives every class the same weight; the answer is always the most probable of all trained classes, also of those without a "
    "real object here.",
    "label-blind is the primary protocol: one rule for all objects decides where the window starts and how long it is, and uses no label. "
    "paper starts supernovae five images before their alert and all others at their first exposure, as the paper does. The length-matched "
    "protocols are the paper's with all other objects cut to the lengths of supernovae, from the start or from the end.",
    "'+ 10 per class' is a model that was fine-tuned with as many real objects of each class; it is scored on the rest, once for each draw "
    "of those objects.",
    "Intervals are percentiles of a bootstrap that draws sky fields, since objects of a field share their images; over several seeds or "
    "draws it draws those too. The spread is the standard deviation over seeds or draws. Intervals of small cells are Wilson's, of "
    "independent objects.",
    "Differences are taken on the same objects and the same drawn fields, and are surer than the two intervals alone suggest.",
    "Unless a table says otherwise, scores are those after the last image of each object.",
)
_STYLE = """
nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; font-size: 0.92rem; margin: 1.2rem 0; padding: 0.7rem 1rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
a { color: var(--accent); }
.lead { color: var(--soft); margin: 0.2rem 0 0.9rem; }
.missed { border-left-color: #EE6677; }
.up { float: right; font-size: 0.8rem; font-weight: 400; }
details { margin: 0 0 0.9rem; }
tr.strong td { font-weight: 700; }
td.word, th.word { text-align: left; white-space: normal; min-width: 6.4rem; }
.word:nth-child(2) { min-width: 9rem; }
td, th { white-space: nowrap; }
.text td, td.long { white-space: normal; min-width: 14rem; }
caption { white-space: normal; max-width: 59rem; }
body { max-width: 72rem; }
"""


@dataclass(frozen=True)
class Written:
    """A comparison on disk.

    Attributes
    ----------
    report : Path
    figures : tuple of str
        Slugs of the figures in the page.
    left_out : tuple of str
        Slugs of those that would have made it too large.
    size : int
        Bytes of the page.
    """

    report: Path
    figures: tuple[str, ...]
    left_out: tuple[str, ...]
    size: int


def check_folder(folder: Path) -> None:
    """OutputError where a folder holds anything but an earlier comparison."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"output folder {folder}", "it is a file", "choose another folder: --output FOLDER")
    others = (
        sorted(item.name for item in folder.iterdir() if item.name not in (REPORT, METRICS, FIGURES, TABLES)) if folder.is_dir() else []
    )
    if others:
        found = f"it holds {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}"
        raise OutputError(f"output folder {folder}", found, "choose a new folder, or one of an earlier comparison: --output FOLDER")


def write_comparison(
    folder: Path, found: Comparison, numbers: Mapping[str, Any], *, tick: Callable[[int], Any] | None = None, limit: int = LIMIT
) -> Written:
    """Writes report.html, metrics.json, figures and tables; those of an earlier comparison in the folder go.

    Parameters
    ----------
    folder : Path
    found : Comparison
    numbers : mapping
        `skyreel.evaluate.comparison_scores.numbers` of it.
    tick : callable or None
        Told the number of figures that are done.
    limit : int
        Bytes of the page at most.

    Raises
    ------
    OutputError
        If the folder holds something else or cannot be written to.
    """
    check_folder(folder)
    made = tables(numbers)
    texts = {f"{table.slug}.csv": latex.comma_separated(table.head, table.rows) for table in made}
    texts |= {f"{table.slug}.tex": latex.tabular(table.caption, table.head, table.rows, table.slug, table.words) for table in made}
    for name, text in texts.items():
        write_text(folder / TABLES / name, text)
    write_text(folder / METRICS, json.dumps(numbers, indent=1, allow_nan=False))
    wanted = shots(found, numbers)
    pictures, left_out, room = [], [], limit - len(_html(found, numbers, made, [], []).encode())
    for shot in wanted:
        html = _draw(folder, shot)
        size = len(html.encode())
        if size <= room:
            pictures.append((shot, html))
            room -= size + 200
        else:
            left_out.append(shot)
        if tick:
            tick(1)
    kept = {*texts, *(f"{shot.slug}.{end}" for shot in wanted for end in ("png", "pdf"))}
    for part in (FIGURES, TABLES):
        for item in (folder / part).glob("*.*"):
            if item.name not in kept:
                item.unlink()
    text = _html(found, numbers, made, pictures, left_out)
    write_text(folder / REPORT, text)
    names = [tuple(shot.slug for shot in part) for part in ([shot for shot, _ in pictures], left_out)]
    return Written(folder / REPORT, names[0], names[1], len(text.encode()))


def number_of_figures(found: Comparison, numbers: Mapping[str, Any]) -> int:
    """How many figures `write_comparison` draws."""
    return len(shots(found, numbers))


def _draw(folder: Path, shot: Shot) -> str:
    drawing = shot.draw()
    page.settle(drawing.figure)
    png = page.png_bytes(drawing.figure)
    write_bytes(folder / FIGURES / f"{shot.slug}.png", png)
    buffer = io.BytesIO()
    drawing.figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    write_bytes(folder / FIGURES / f"{shot.slug}.pdf", buffer.getvalue())
    return page.figure_html(page.compact(png), shot.alt, drawing.caption, shot.slug)


def _html(
    found: Comparison, numbers: Mapping[str, Any], made: Sequence[Table], pictures: Sequence[tuple[Shot, str]], left_out: Sequence[Shot]
) -> str:
    own = {
        "headline": [_verdicts(numbers)],
        "reading": [page.list_html([*READING, *_warnings(found)])],
        "limits": [page.list_html(NOT_COMPARABLE)],
        "provenance": _provenance(found),
    }
    bodies = {}
    for key in SECTIONS:
        figures = [html for shot, html in pictures if shot.section == key]
        away = [f"{shot.alt}: {FIGURES}/{shot.slug}.png" for shot in left_out if shot.section == key]
        missing = [f"<p>Too large for this page, kept beside it:</p>{page.list_html(away)}"] if away else []
        parts = _folded([table for table in made if table.section == key], OPEN.get(key, 2))
        # in the headline the picture says more than the table
        body = [*own.get(key, []), *(figures + parts if key == "headline" else parts + figures), *missing]
        if body:
            bodies[key] = body
    links = "".join(f'<a href="#section-{key}">{escape(SECTIONS[key][0])}</a>' for key in bodies)
    parts = ['<h1 id="top">Comparison of skyreel runs</h1>', _tiles(numbers), f'<nav aria-label="sections">{links}</nav>']
    for key, body in bodies.items():
        title, lead = SECTIONS[key]
        parts.append(f'<section><h2 id="section-{key}">{escape(title)}<a class="up" href="#top">top</a></h2>')
        parts += [f'<p class="lead">{escape(lead)}</p>'] * bool(lead) + body + ["</section>"]
    return page.document("skyreel: comparison of runs", parts, page.STYLE + _STYLE)


def _tiles(numbers: Mapping[str, Any]) -> str:
    """Mean recall of every model on the first real set under its first protocol, or on the first set there is."""
    entries = numbers["entries"]
    real = [entry for entry in entries if not entry["simulated"]] or entries
    first = next((entry for entry in real if entry["protocol"] == "label_blind"), real[0])
    chosen = [entry for entry in real if (entry["data"], entry["protocol"]) == (first["data"], first["protocol"])]
    values = {f"{entry['name']} ({limits(entry['mean_recall'])})": f"{share(entry['mean_recall']['value'])} %" for entry in chosen}
    where = f"Mean recall on {first['data']}, protocol {long_name(first['protocol'])}, with 95 % intervals"
    return f'<p class="lead">{escape(where)}</p>{page.tiles_html(values)}'


def _verdicts(numbers: Mapping[str, Any]) -> str:
    lines = verdicts(numbers["entries"])
    if not lines:
        return '<p class="verdict missed">No run holds controls: nothing says whether these scores could be had more cheaply.</p>'
    styles = ["verdict" if "clears all controls" in line else "verdict missed" for line in lines]
    return "".join(f'<p class="{style}">{escape(line)}</p>' for style, line in zip(styles, lines, strict=True))


def _warnings(found: Comparison) -> list[str]:
    """What sets these runs apart from one another, beside their models."""
    out = []
    classes = {entry.name: entry.outcomes[0].classes for entry in found.entries}
    if len(set(classes.values())) > 1:
        told = "; ".join(f"{name}: {len(known)} classes" for name, known in classes.items())
        out.append(f"The models know different classes, so that their argmax runs over different ones: {told}.")
    for run, label in zip(found.runs, found.labels, strict=True):
        if run.origin.tuned:
            out.append(f"{run.folder} scores a model ({label}) that was fine-tuned before: its set may hold the objects it was tuned with.")
        if not run.origin.config:
            out.append(f"The training of the model of {run.folder} ({label}) is not known: its folder is not where the run says.")
    return out


def _folded(made: Sequence[Table], number: int) -> list[str]:
    """The first tables as they are, the others behind their captions."""
    rest = [
        f"<details><summary>{escape(table.caption.split(' [%]')[0].rstrip('.'))}</summary>{_table(table)}</details>"
        for table in made[number:]
    ]
    return [*map(_table, made[:number]), *rest]


def _table(table: Table) -> str:
    rows = []
    for number, row in enumerate(table.rows):
        style = ' class="strong"' if number in table.strong else ""
        rows.append(f"<tr{style}>{_cells('td', row, table.words)}</tr>")
    return page.table_html(table.caption, _cells("th", table.head, table.words), rows)


def _cells(tag: str, values: Sequence[str], words: int) -> str:
    """Cells of a row; the first ones hold words."""
    return "".join(f'<{tag} class="word">{escape(value)}</{tag}>' for value in values[:words]) + page.cells_html(tag, values[words:])


def _provenance(found: Comparison) -> list[str]:
    out = []
    for run, label in zip(found.runs, found.labels, strict=True):
        record = dict(run.record)
        seed = run.config.get("seed")
        rows = {
            "run": run.folder,
            "verb": run.verb,
            "model": label,
            "seed of the training": _known(run.origin.seed),
            "seed of the run": _known(seed),
        }
        command = record.pop("command", [])
        rows["command"] = " ".join(map(str, command)) or "not recorded"
        for name, value in record.items():
            rows[name.replace("_", " ")] = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        out.append(f"<h3>{escape(run.folder)}</h3>{page.pairs_html(rows)}")
        out.append(f"<details><summary>Config</summary><pre>{escape(run.config_text)}</pre></details>")
    return out


def _known(value: object) -> str:
    return "not known" if value is None else str(value)

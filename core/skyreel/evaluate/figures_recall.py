"""Mean recall of every model under every protocol, with its controls below it: the headline as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from skyreel.evaluate.figures_style import PALETTE, TEXT, Drawing, model_style, new_figure, tidy, title
from skyreel.evaluate.names import long_name


def recall_overview(entries: Sequence[Mapping[str, Any]], data: str) -> Drawing:
    """One panel per protocol, one line per model and control: mean recall after the last image with its intervals.

    Parameters
    ----------
    entries : sequence of mapping
        `skyreel.evaluate.comparison_scores.entry_scores` of one set.
    data : str
        Its name, for the caption.
    """
    protocols = list(dict.fromkeys(entry["protocol"] for entry in entries))
    names = list(dict.fromkeys(entry["name"] for entry in entries))
    lines = _lines(entries)
    columns = min(2, len(protocols))
    rows = -(-len(protocols) // columns)
    figure = new_figure(2.6 + 4.6 * columns, rows * (1.1 + 0.27 * len(lines)))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, protocol in zip(panels.flat, protocols, strict=False):
        title(axes, long_name(protocol))
        for place, (name, control) in enumerate(lines):
            found = [entry for entry in entries if (entry["protocol"], entry["name"]) == (protocol, name)]
            if found and (control is None or (found[0]["controls"] or {}).get(control)):
                _draw(axes, place, found[0], control, model_style(name, names))
        tidy(axes, "mean recall", "")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_yticks(range(len(lines)), [name if control is None else long_name(control) for name, control in lines])
        axes.grid(axis="y", visible=False)
        axes.set_ylim(len(lines) - 0.4, -0.6)
    for axes in panels.flat[len(protocols) :]:
        axes.axis("off")
    for axes in panels[:, 0]:
        for label, (_, control) in zip(axes.get_yticklabels(), lines, strict=True):
            label.set(fontweight="bold" if control is None else "normal", fontsize=9.5 if control is None else 8.5)
    caption = (
        f"Mean recall on {data} after the last image, by protocol: models (bold) and, below each, the controls trained beside it. Thick: "
        f"68 %, thin: 95 % interval of a bootstrap over sky fields, and over seeds or draws where there are several. A red cross marks a "
        f"control that the model does not clear: the 95 % interval of their difference on the same objects reaches 0."
    )
    return Drawing(figure, caption)


def _lines(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    """Models, each followed by the controls that it has under any protocol."""
    out: list[tuple[str, str | None]] = []
    for name in dict.fromkeys(entry["name"] for entry in entries):
        controls = [control for entry in entries if entry["name"] == name for control in entry["controls"] or {}]
        out += [(name, None), *((name, control) for control in dict.fromkeys(controls))]
    return out


def _draw(axes: Axes, place: int, entry: Mapping[str, Any], control: str | None, style: Mapping[str, Any]) -> None:
    mean = entry["mean_recall"] if control is None else entry["controls"][control]["mean_recall"]
    missed = control is not None and not entry["controls"][control]["cleared"]
    colour = style["color"] if control is None else PALETTE[6]
    for level, width in (("95", 1.2), ("68", 3.6 if control is None else 2.4)):
        axes.plot(mean[level], [place, place], color=colour, linewidth=width, solid_capstyle="butt")
    marker = "x" if missed else (style["marker"] if control is None else "o")
    axes.plot(
        mean["value"], place, marker=marker, color=PALETTE[1] if missed else colour, markersize=7 if control is None or missed else 4, mew=2
    )
    if control is None:
        axes.annotate(
            f"{mean['value']:.1%}", (mean["95"][1], place), (4, 0), "data", "offset points", va="center", fontsize=8.5, color=TEXT
        )

"""What gives a simulation away, as a figure: how separable the samples are, by which features, and how these are distributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from skyreel.evaluate.figures_style import MODEL_PALETTE, TEXT, Drawing, new_figure, tidy, title
from skyreel.evaluate.realism import Verdict
from skyreel.evaluate.realism_features import FRAME
from skyreel.evaluate.realism_forest import Sample

SHOWN = 8
"""Features drawn one by one."""
ACROSS = 4
_LOOK = {("forest", "object"): (0, "o"), ("forest", "field"): (2, "s"), ("cnn", "object"): (1, "D")}
"""Judge and what it had not seen -> colour and marker."""


def realism_figure(
    verdicts: Sequence[Verdict], separation: Mapping[str, float], importance: Mapping[str, float], sample: Sample, label: str
) -> Drawing:
    """Areas under the ROC curve, the features that tell most, the groups a forest goes by, and distributions.

    Parameters
    ----------
    verdicts : sequence of Verdict
    separation : mapping
        Feature -> its own area under the ROC curve, most telling first.
    importance : mapping
        Group of features -> what the forest loses without it; empty where no forest was asked.
    sample : Sample
        Features of all frames.
    label : str
        Class compared.
    """
    names = list(separation)[:SHOWN]
    lines = -(-len(names) // ACROSS)
    figure = new_figure(12.0, 3.6 + 1.9 * lines)
    top, below = figure.subfigures(2, 1, height_ratios=[3.6, 1.9 * lines], squeeze=False)[:, 0]
    axes = top.subplots(1, 3, width_ratios=[1.25, 1.0, 1.0])
    _verdicts(axes[0], verdicts)
    _bars(axes[1], {name: separation[name] - 0.5 for name in names}, 0.5, "area under the ROC curve", "single features")
    _bars(axes[2], importance, 0.0, "area lost when shuffled", "what the forest goes by")
    for axis, name in zip(below.subplots(lines, ACROSS, squeeze=False).flat, names, strict=False):
        _distribution(axis, sample, name)
    for axis in below.axes[len(names) :]:
        axis.set_axis_off()
    below.axes[0].legend(frameon=False, fontsize=8)
    n_real = int(sample.real.sum())
    caption = (
        f"Frames of real {label.replace('_', ' ')} objects beside simulated ones under the same conditions. Left: area under the ROC "
        "curve of judges that never saw the object (or its field, or its twin) they answer for; bars: 95 % over objects; 0.5 cannot "
        "tell. Middle: the same for single features. Right: how much of the forest's area goes when a group of features is shuffled "
        f"among held-out frames. Below: distributions of {len(names)} features, {n_real} real and {len(sample.real) - n_real} simulated "
        "frames."
    )
    return Drawing(figure, caption)


def _verdicts(axes: Axes, verdicts: Sequence[Verdict]) -> None:
    levels = list(dict.fromkeys(item.level for item in verdicts))
    kinds = list(dict.fromkeys((item.judge, item.folds) for item in verdicts))
    for item in verdicts:
        kind = (item.judge, item.folds)
        colour, marker = _LOOK[kind]
        row = levels.index(item.level) + 0.22 * (kinds.index(kind) - 0.5 * (len(kinds) - 1))
        low, high = item.interval
        legend = f"{item.judge}, {item.folds} held out"
        known = legend in axes.get_legend_handles_labels()[1]
        axes.errorbar(
            item.auc,
            row,
            xerr=[[max(item.auc - low, 0.0)], [max(high - item.auc, 0.0)]],
            fmt=marker,
            color=MODEL_PALETTE[colour],
            capsize=3,
            label=None if known else legend,
        )
        axes.annotate(f"{item.auc:.2f}", (1.03, row), va="center", fontsize=8, color=MODEL_PALETTE[colour], annotation_clip=False)
    axes.set_yticks(range(len(levels)), levels)
    axes.set_ylim(len(levels) - 0.5, -0.5)
    axes.set_xlim(min(0.45, *(item.interval[0] - 0.02 for item in verdicts), 0.45), 1.02)
    axes.axvline(0.5, color=MODEL_PALETTE[3], linewidth=0.8, linestyle=":")
    tidy(axes, "area under the ROC curve", "")
    title(axes, "can a judge tell?")
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=min(len(kinds), 2))


def _bars(axes: Axes, values: Mapping[str, float], left: float, x: str, text: str) -> None:
    title(axes, text)
    tidy(axes, x, "")
    if not values:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no forest was asked", ha="center", va="center", transform=axes.transAxes, color=TEXT)
        return
    axes.barh([name.replace("_", " ") for name in values], list(values.values()), left=left, color=MODEL_PALETTE[1])
    axes.invert_yaxis()
    axes.set_xlim(left + min(0.0, 1.1 * min(values.values())), left + max(0.02, 1.1 * max(values.values())))


def _distribution(axes: Axes, sample: Sample, name: str) -> None:
    column = sample.values[:, FRAME.index(name)]
    low, high = np.percentile(column, [0.5, 99.5])
    edges = np.linspace(low, max(high, low + 1e-9), 41)
    for chosen, colour, legend in ((sample.real, 0, "real"), (~sample.real, 1, "simulated")):
        axes.hist(column[chosen], edges.tolist(), density=True, histtype="step", color=MODEL_PALETTE[colour], linewidth=1.4, label=legend)
    tidy(axes, name.replace("_", " "), "")
    axes.set_yticks([])

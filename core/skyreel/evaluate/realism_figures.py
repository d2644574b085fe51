"""What gives a simulation away, as a figure: how separable the samples are, and by which features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from skyreel.evaluate.figures_style import MODEL_PALETTE, Drawing, new_figure, tidy, title
from skyreel.evaluate.realism import Verdict
from skyreel.evaluate.realism_features import FRAME

SHOWN = 8
"""Features drawn one by one."""


def realism_figure(
    verdicts: Sequence[Verdict],
    separation: Mapping[str, float],
    real: NDArray[np.float64],
    simulated: NDArray[np.float64],
    label: str,
) -> Drawing:
    """Areas under the ROC curve, the features that tell most, and their distributions.

    Parameters
    ----------
    verdicts : sequence of Verdict
    separation : mapping
        Feature -> its own area under the ROC curve, most telling first.
    real, simulated : (m, len(FRAME))
        Features of all frames.
    label : str
        Class compared.
    """
    names = list(separation)[:SHOWN]
    figure = new_figure(10.0, 3.1 + 1.9 * -(-len(names) // 4))
    grid = figure.add_gridspec(1 + -(-len(names) // 4), 4, height_ratios=[1.5] + [1.0] * -(-len(names) // 4))
    axes = figure.add_subplot(grid[0, :2])
    for row, item in enumerate(verdicts):
        low, high = item.interval
        axes.errorbar(
            item.auc, row, xerr=[[max(item.auc - low, 0.0)], [max(high - item.auc, 0.0)]], fmt="o", color=MODEL_PALETTE[0], capsize=3
        )
    axes.set_yticks(range(len(verdicts)), [f"{item.level}, {item.judge}" for item in verdicts])
    axes.invert_yaxis()
    axes.set_xlim(0.45, 1.02)
    axes.axvline(0.5, color=MODEL_PALETTE[3], linewidth=0.8, linestyle=":")
    tidy(axes, "area under the ROC curve", "")
    title(axes, "can a judge tell?")
    axes = figure.add_subplot(grid[0, 2:])
    axes.barh([name.replace("_", " ") for name in names], [separation[name] - 0.5 for name in names], left=0.5, color=MODEL_PALETTE[1])
    axes.invert_yaxis()
    axes.set_xlim(0.5, max(1.0 if separation[names[0]] > 0.9 else 0.8, separation[names[0]]))
    tidy(axes, "area under the ROC curve of one feature", "")
    title(axes, "what gives it away")
    for k, name in enumerate(names):
        axes = figure.add_subplot(grid[1 + k // 4, k % 4])
        column = FRAME.index(name)
        low, high = np.percentile(np.concatenate([real[:, column], simulated[:, column]]), [0.5, 99.5])
        edges = np.linspace(low, max(high, low + 1e-9), 41)
        for sample, colour, legend in ((real, MODEL_PALETTE[0], "real"), (simulated, MODEL_PALETTE[1], "simulated")):
            axes.hist(sample[:, column], edges.tolist(), density=True, histtype="step", color=colour, linewidth=1.4, label=legend)
        tidy(axes, name.replace("_", " "), "")
        axes.set_yticks([])
        if k == 0:
            axes.legend(frameon=False, fontsize=8)
    caption = (
        f"Frames of real {label.replace('_', ' ')} objects beside simulated twins under the same conditions. Left: area under the ROC "
        "curve of judges that never saw the object or its twin (bars: 95 % over objects; 0.5 cannot tell). "
        "Right: the same for single features. "
        f"Below: distributions of {len(names)} features, {len(real)} real and {len(simulated)} simulated frames."
    )
    return Drawing(figure, caption)

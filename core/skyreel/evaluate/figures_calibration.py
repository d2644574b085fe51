"""Whether probabilities can be believed: reliability diagram, and purity of one class against prevalence and threshold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import DataError
from skyreel.evaluate.calibration import reliability
from skyreel.evaluate.figures_style import GRID, TEXT, Drawing, after_text, model_style, new_figure, tidy, title
from skyreel.evaluate.names import long_name
from skyreel.evaluate.outcomes import Outcomes

PREVALENCE = np.geomspace(1e-4, 0.5, 60)
THRESHOLDS = np.linspace(0.0, 0.99, 100)


def reliability_figure(models: Mapping[str, Outcomes], what: str, after: int | None = None) -> Drawing:
    """Share of right answers against the probability of the predicted class, and how the probabilities are spread.

    Parameters
    ----------
    models : mapping of str -> Outcomes
    what : str
        The set, for the caption.
    after : int or None
        Number of images; None: after the last.
    """
    figure = new_figure(6.2, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    upper.plot([0, 1], [0, 1], color=TEXT, linewidth=1, linestyle=":", label="perfectly calibrated")
    lowest = 0.9
    for name, outcomes in models.items():
        style = model_style(name, models)
        curve = reliability(outcomes, after)
        lowest = min(lowest, float(np.floor(10 * min(curve.confidence.min(), curve.lower.min())) / 10))
        # rounding may put the limits of 0 or 1 on the wrong side of the value
        bars = np.maximum([curve.accuracy - curve.lower, curve.upper - curve.accuracy], 0)
        upper.errorbar(
            curve.confidence, curve.accuracy, bars, markersize=5, linewidth=1.3, elinewidth=1, label=f"{name} ({len(outcomes)})", **style
        )
        confidence = (outcomes.last() if after is None else outcomes.after(after)).max(axis=1)
        weights = np.full(len(outcomes), 1 / len(outcomes))
        lower.hist(confidence, bins=np.linspace(0, 1, 21), weights=weights, histtype="step", color=style["color"], linewidth=1.5)
    tidy(upper, "", "share that is right")
    tidy(lower, "probability of the predicted class", "share of objects")
    upper.set_ylim(lowest, 1.03)
    lower.set_xlim(lowest, 1.01)
    for axes in (upper, lower):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    upper.legend(frameon=False, loc="upper left")
    sizes = ", ".join(f"{name} {len(outcomes)}" for name, outcomes in models.items())
    caption = (
        f"Calibration on {what} {after_text(after)} ({sizes} objects): share of right answers against the mean probability of the "
        f"predicted class, in bins of as many objects each; error bars: 95 % Wilson intervals. Below the diagonal a classifier is "
        f"too sure of itself. Bottom: how often each probability is given."
    )
    return Drawing(figure, caption)


def precision_at(prevalence: ArrayLike, recall: ArrayLike, false_rate: ArrayLike) -> NDArray[np.float64]:
    """Share of the objects taken for a class that belong to it: pi R / (pi R + (1 - pi) F), by Bayes' theorem.

    Parameters
    ----------
    prevalence : array
        Share pi of the class among all objects.
    recall : array
        Share R of its objects that are taken for it.
    false_rate : array
        Share F of the other objects that are taken for it.

    Returns
    -------
    float array
        NaN where nothing is taken for the class.
    """
    hits = np.asarray(prevalence, np.float64) * np.asarray(recall)
    total = hits + (1 - np.asarray(prevalence)) * np.asarray(false_rate)
    return np.asarray(np.divide(hits, total, out=np.full(np.shape(total), np.nan), where=total > 0))


def rates(
    outcomes: Outcomes, name: str, thresholds: ArrayLike, after: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and false rate of a class where it is the argmax *and* its probability exceeds each threshold.

    The false rate is the mean over the other classes that occur: each weighs the same.

    Raises
    ------
    DataError
        If the class or all the others are missing.
    """
    probabilities = outcomes.last() if after is None else outcomes.after(after)
    column = outcomes.classes.index(name) if name in outcomes.classes else -1
    others = sorted(set(outcomes.label.tolist()) - {name})
    if column < 0 or not (outcomes.label == name).any() or not others:
        found = f"objects of {', '.join(sorted(set(outcomes.label.tolist())))}"
        raise DataError(f"purity of class {name!r}", found, "score a set with it and others")
    taken = (probabilities.argmax(axis=1) == column)[:, None] & (probabilities[:, [column]] > np.asarray(thresholds))
    false = np.mean([taken[outcomes.label == other].mean(axis=0) for other in others], axis=0)
    return taken[outcomes.label == name].mean(axis=0), false


def purity_figure(models: Mapping[str, Outcomes], what: str, name: str = "supernova", after: int | None = None) -> Drawing:
    """Precision of one class against its share of the stream (left) and the threshold on its probability (right).

    Parameters
    ----------
    models : mapping of str -> Outcomes
    what : str
        The set, for the caption.
    name : str
        The class.
    after : int or None
        Number of images; None: after the last.
    """
    figure = new_figure(11.2, 4.6)
    left, right = figure.subplots(1, 2)
    shown = (0.0, 0.9)
    equal = 1 / len(set(next(iter(models.values())).label.tolist()))
    for model, outcomes in models.items():
        style = model_style(model, models)
        recall, false = rates(outcomes, name, shown, after)
        for line, threshold, r, f in zip(("-", "--"), shown, recall, false, strict=True):
            text = f"{model}, argmax" if threshold == 0 else f"{model}, probability > {threshold:g}"
            left.plot(PREVALENCE, precision_at(PREVALENCE, r, f), color=style["color"], linestyle=line, label=f"{text} (recall {r:.0%})")
        recall, false = rates(outcomes, name, THRESHOLDS, after)
        right.plot(THRESHOLDS, precision_at(equal, recall, false), color=style["color"], label=f"{model}, precision")
        right.plot(THRESHOLDS, recall, color=style["color"], linestyle=":", linewidth=2, label=f"{model}, recall")
    left.axvline(equal, color=GRID, linewidth=2, zorder=0)
    left.set_xscale("log")
    left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    tidy(left, f"share of class {long_name(name)} among all objects", "precision")
    tidy(right, "threshold on the probability", "precision, recall")
    title(left, "against prevalence")
    title(right, f"against the threshold, at {equal:.0%} prevalence")
    for axes in (left, right):
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    left.legend(frameon=False, loc="lower right", fontsize=9)
    right.legend(frameon=False, loc="lower left", fontsize=9)
    number = {model: ((outcomes.label == name).sum(), (outcomes.label != name).sum()) for model, outcomes in models.items()}
    sizes = ", ".join(f"{model} {own} of the class and {other} others" for model, (own, other) in number.items())
    caption = (
        f"Purity of class {long_name(name)} on {what} {after_text(after)} ({sizes}): precision = "
        f"π R / (π R + (1 - π) F), with recall R, prevalence π and the mean false rate F of the other classes, which weigh the "
        f"same. No error is drawn: where none of the others is taken for the class, F = 0, the data only say that F is below a "
        f"few divided by their number, and precision at a small prevalence is as uncertain as that. Grey line: all classes alike."
    )
    return Drawing(figure, caption)

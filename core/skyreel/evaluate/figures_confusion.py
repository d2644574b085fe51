"""Confusion matrices of several models side by side: figures 8 to 13 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from skyreel.evaluate.figures_series import labels, longest
from skyreel.evaluate.figures_style import GRID, TEXT, Drawing, Runs, after_text, new_figure, title
from skyreel.evaluate.names import short_name
from skyreel.evaluate.outcomes import Outcomes


@dataclass(frozen=True)
class Confusion:
    """Confusion of some runs of one model.

    Attributes
    ----------
    true, predicted : tuple of str
        Classes of rows and columns.
    counts : float (rows, columns)
        Objects, mean over runs.
    share : float (rows, columns)
        Of each true class, mean over runs; rows add up to 1.
    spread : float (rows, columns)
        Standard deviation of `share` over runs (n - 1); 0 for a single run.
    """

    true: tuple[str, ...]
    predicted: tuple[str, ...]
    counts: NDArray[np.float64]
    share: NDArray[np.float64]
    spread: NDArray[np.float64]


def confusion(runs: Sequence[Outcomes], after: int | None = None) -> Confusion:
    """Confusion after `after` images (an object with fewer counts with its last), None: after the last.

    Parameters
    ----------
    runs : sequence of Outcomes
        Of one model; all hold the same classes.
    after : int or None
    """
    images = longest(runs)
    true, predicted = labels(runs), runs[0].classes
    rows = [predicted.index(name) for name in true]
    counts = np.zeros((len(runs), len(predicted), len(predicted)))
    for number, part in enumerate(runs):
        np.add.at(counts[number], (part.truth, part.after(after or images).argmax(axis=1)), 1)
    counts = counts[:, rows]
    share = counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)
    spread = share.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(share.shape[1:])
    return Confusion(true, predicted, counts.mean(axis=0), share.mean(axis=0), spread)


def confusion_matrices(models: Runs, what: str, after: int | None = None, of: str = "runs") -> Drawing:
    """Confusion matrices of several models on one set, side by side (figures 8 to 13 of the paper).

    Parameters
    ----------
    models : mapping of str -> sequence of Outcomes
        Model -> its outcomes, one per seed or draw.
    what : str
        The set, for titles and caption: 'simulated test set', 'real set, no real labels'.
    after : int or None
        Number of images; None: all.
    of : str
        What several outcomes of a model are: 'seeds', 'draws'.
    """
    found = {name: confusion(runs, after) for name, runs in models.items()}
    columns = max(len(item.predicted) for item in found.values())
    lines = max(len(item.true) for item in found.values())
    figure = new_figure(len(found) * (1.1 + 0.82 * columns), 1.3 + 0.66 * lines)
    for axes, (name, item) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        title(axes, name)
        _panel(axes, item, several=len(models[name]) > 1)
    sizes = ", ".join(_size(name, item, len(models[name]), of) for name, item in found.items())
    more = any(len(runs) > 1 for runs in models.values())
    spread, several = (f" ± the standard deviation over {of}", f" (mean over {of})") if more else ("", "")
    caption = (
        f"Confusion on {what} {after_text(after)}: per cent of each true class{spread}, and the number of "
        f"objects{several}. An argmax over all trained classes. Objects: {sizes}."
    )
    return Drawing(figure, caption)


def _size(name: str, item: Confusion, runs: int, of: str) -> str:
    return f"{name} {item.counts.sum():.0f}" + (f" (mean of {runs} {of})" if runs > 1 else "")


def _panel(axes: Axes, item: Confusion, *, several: bool) -> None:
    axes.imshow(item.share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(item.share):
        number = item.counts[y, x]
        if number:
            percent = f"{100 * value:.0f} ± {100 * item.spread[y, x]:.0f}" if several else f"{100 * value:.0f} %"
            count = f"{number:.0f}" if float(number).is_integer() else f"{number:.1f}"
            colour = "white" if value > 0.55 else TEXT
            axes.text(x, y, f"{percent}\n{count}", ha="center", va="center", fontsize=8.5, color=colour)
    axes.set_xticks(range(len(item.predicted)), [short_name(name) for name in item.predicted])
    axes.set_yticks(range(len(item.true)), [short_name(name) for name in item.true])
    axes.set_xlabel("predicted class", color=TEXT)
    axes.set_ylabel("true class", color=TEXT)
    axes.set_xticks(np.arange(len(item.predicted) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(item.true) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.6)
    axes.tick_params(which="both", length=0, colors=TEXT)
    axes.spines[:].set_visible(False)

"""Figures of a report, drawn without a display and without matplotlib's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from skyreel.evaluate.figures_style import GRID, PALETTE, TEXT, canvas, class_style, new_figure, share_axes, tidy
from skyreel.evaluate.names import long_name, short_name


def accuracy_figure(metrics: Mapping[str, Any]) -> Figure:
    """Accuracy and mean recall against the number of images (figures 5 and 6 of the paper), with 1-sigma bands.

    Parameters
    ----------
    metrics : mapping
        What `skyreel.evaluate.metrics.score` returned.
    """
    figure, axes = canvas(6.4, 4.2)
    for key, name, colour, line in (
        ("mean_recall", "mean recall (classes weigh the same)", PALETTE[0], "o-"),
        ("accuracy", "accuracy (objects weigh the same)", PALETTE[1], "s--"),
    ):
        images, value = _series(metrics, key)
        _, error = _series(metrics, f"{key}_error")
        axes.fill_between(images, value - error, value + error, color=colour, alpha=0.18, linewidth=0)
        axes.plot(images, value, line, color=colour, markersize=4, label=f"{name}: {value[-1]:.1%}")
    share_axes(axes, "share of objects")
    axes.legend(frameon=False, loc="lower right")
    return figure


def recall_figure(metrics: Mapping[str, Any]) -> Figure:
    """Recall of every class against the number of images (figure 7, right, of the paper)."""
    figure, axes = canvas(7.6, 4.2)
    counts = metrics["counts"]
    for name in metrics["recall"]:
        images, value = _series(metrics, "recall", name)
        _, error = _series(metrics, "recall_error", name)
        style = class_style(name, metrics["classes"])
        axes.fill_between(images, value - error, value + error, color=style["color"], alpha=0.12, linewidth=0)
        axes.plot(images, value, markersize=4, label=f"{long_name(name)} ({counts[name]})", **style)
    share_axes(axes, "recall")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), title="class (objects)")
    return figure


def confusion_figure(metrics: Mapping[str, Any], n_images: Sequence[int] | None = None) -> Figure:
    """Confusion matrices after some numbers of images: per cent of each true class, and the number of objects.

    Parameters
    ----------
    metrics : mapping
        What `score` returned.
    n_images : sequence of int or None
        None takes ``metrics["n_images"]``.
    """
    chosen = list(n_images if n_images is not None else metrics["n_images"])
    columns = min(2, len(chosen))
    rows = -(-len(chosen) // columns)
    classes, true = metrics["classes"], list(metrics["recall"])
    width, height = 1.4 + 0.72 * len(classes), 1.1 + 0.62 * len(true)
    figure = new_figure(columns * width, rows * height)
    for panel, k in enumerate(chosen):
        axes = figure.add_subplot(rows, columns, panel + 1)
        confusion = metrics["by_n_images"][str(k)]["confusion"]
        matrix = np.array([[confusion[name][other] for other in classes] for name in true])
        _confusion_panel(axes, matrix, true, classes)
        axes.set_title(f"after {k} image{'s' if k > 1 else ''}", color=TEXT, fontsize=11)
    return figure


def training_figure(history: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Training curves: columns called ``...loss`` on the left, ``...accuracy`` and ``...recall`` on the right.

    Parameters
    ----------
    history : sequence of mapping, or mapping of str -> sequence of mapping
        Rows with ``step`` and numbers; a row need not hold every column. A mapping names parts whose rows share column
        names, for example ``{"train": rows, "valid": rows}``: they become the curves ``train_loss`` and ``valid_loss``.
    """
    rows = _named_rows(history) if isinstance(history, Mapping) else history
    names = dict.fromkeys(key for item in rows for key in item)
    losses = [key for key in names if key.endswith("loss")]
    merits = [key for key in names if key.endswith(("accuracy", "recall"))]
    figure = new_figure(9.6, 3.8)
    for axes, keys, title in zip(figure.subplots(1, 2), (losses, merits), ("loss", "share of objects"), strict=True):
        for index, key in enumerate(keys):
            points = np.array([(item["step"], item[key]) for item in rows if item.get(key) is not None], float).reshape(-1, 2)
            marker = "o" if len(points) < 40 else ""
            colour = PALETTE[index % len(PALETTE)]
            axes.plot(points[:, 0], points[:, 1], color=colour, marker=marker, markersize=3, label=key.replace("_", " "))
        tidy(axes, "training step", title)
        if keys:
            axes.legend(frameon=False)
    return figure


def _named_rows(parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of all parts, their columns named after the part: 'loss' of part 'valid' is 'valid_loss'."""
    return [
        {key if key == "step" else f"{part}_{key}": value for key, value in item.items()} for part, rows in parts.items() for item in rows
    ]


def _series(metrics: Mapping[str, Any], *keys: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numbers of images and the value under `keys` at each of them."""
    steps = sorted(metrics["by_n_images"], key=int)
    values = []
    for step in steps:
        value = metrics["by_n_images"][step]
        for key in keys:
            value = value[key]
        values.append(value)
    return np.array(steps, np.float64), np.array(values, np.float64)


def _confusion_panel(axes: Axes, matrix: NDArray[np.int64], true: Sequence[str], classes: Sequence[str]) -> None:
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(share):
        if matrix[y, x]:
            colour = "white" if value > 0.55 else TEXT
            axes.text(x, y, f"{value:.0%}\n{matrix[y, x]}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(classes)), [short_name(name) for name in classes])
    axes.set_yticks(range(len(true)), [short_name(name) for name in true])
    axes.set_xlabel("predicted", color=TEXT)
    axes.set_ylabel("true", color=TEXT)
    axes.set_xticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(true) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.6)
    axes.tick_params(which="both", length=0, colors=TEXT)
    axes.spines[:].set_visible(False)

"""Scores against the number of samples: figures 5 and 6 of the paper, and the right-hand panels of its figure 7."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from skyreel.evaluate.figures_series import Band, accuracy, class_recall, error_text, labels, mean_recall
from skyreel.evaluate.figures_style import TEXT, Drawing, Runs, canvas, class_style, line_with_band, model_style, share_axes, share_from
from skyreel.evaluate.names import long_name
from skyreel.evaluate.outcomes import Outcomes

DASHED = {"linestyle": "--", "markerfacecolor": "white"}


def accuracy_over_samples(train: Runs, test: Runs) -> Drawing:
    """Accuracy against the number of samples on simulated training and test set (figure 5 of the paper).

    Parameters
    ----------
    train, test : mapping of str -> sequence of Outcomes
        Model -> its outcomes, one per seed. Models may be missing from `train`.
    """
    figure, axes = canvas(7.2, 4.6)
    names = [*test, *train]
    bands = []
    for part, models, look in (("test", test, {"linestyle": "-"}), ("training", train, DASHED)):
        for name, runs in models.items():
            bands.append(accuracy(runs))
            _draw(axes, bands[-1], f"{name}, {part}", **look, **model_style(name, names))
    share_axes(axes, "accuracy")
    share_from(axes, min(band.low.min() for band in bands))
    axes.legend(frameon=False, loc="lower right")
    caption = (
        f"Accuracy on simulated movies against the number of samples, an argmax over all classes. Test: {_sizes(test)}; training: "
        f"{_sizes(train) or 'not scored'}. Bands: {_errors({**train, **test}, 'seeds')}."
    )
    return Drawing(figure, caption)


def recall_over_samples(without: Runs, with_labels: Runs, data: str = "the real set") -> Drawing:
    """Mean recall on the real set against the number of samples, without and with real labels (figure 6 of the paper).

    Parameters
    ----------
    without : mapping of str -> sequence of Outcomes
        Model -> outcomes of models that have seen no real label, one per seed.
    with_labels : mapping of str -> sequence of Outcomes
        Model -> outcomes of fine-tuned models, one per draw, without the objects that were used.
    data : str
        Name of the set, for the caption.
    """
    figure, axes = canvas(7.2, 4.6)
    names = [*without, *with_labels]
    bands = []
    for part, models, look in (("no real labels", without, DASHED), ("with real labels", with_labels, {"linestyle": "-"})):
        for name, runs in models.items():
            bands.append(mean_recall(runs))
            _draw(axes, bands[-1], f"{name}, {part}", **look, **model_style(name, names))
    everyone = [outcomes for runs in (*without.values(), *with_labels.values()) for outcomes in runs]
    mark_alert(axes, everyone)
    share_axes(axes, "mean recall")
    share_from(axes, min(band.low.min() for band in bands))
    axes.legend(frameon=False, loc="lower right")
    classes = ", ".join(long_name(name) for name in labels(everyone))
    caption = (
        f"Mean recall on {data} (classes {classes} weigh the same) against the number of samples. Without labels: "
        f"{_sizes(without) or 'none'}; with labels, scored on the rest: {_sizes(with_labels) or 'none'}. Bands: "
        f"{_errors(without, 'runs')} without labels, {_errors(with_labels, 'draws')} with labels. Dotted: median image of the "
        f"supernovae's alert."
    )
    return Drawing(figure, caption)


def draw_class_recalls(axes: Axes, runs: Sequence[Outcomes]) -> None:
    """Recall of every class that occurs against the number of samples, with bands over the runs."""
    for name in labels(runs):
        style = class_style(name, runs[0].classes)
        number = np.mean([(part.label == name).sum() for part in runs])
        _draw(axes, class_recall(runs, name), f"{long_name(name)} ({number:.0f})", **style)
    mark_alert(axes, runs)
    share_axes(axes, "recall")


def mark_alert(axes: Axes, runs: Sequence[Outcomes]) -> None:
    """A dotted line at the median image of the supernovae's alert."""
    alerts = [part.alert[(part.label == "supernova") & (part.alert > 0)] for part in runs]
    places = np.concatenate([np.zeros(0), *alerts])
    if places.size:
        axes.axvline(float(np.median(places)), color=TEXT, linewidth=1, linestyle=":", zorder=1)


def _draw(axes: Axes, band: Band, label: str, **style: object) -> None:
    line_with_band(axes, band.images, band.value, band.low, band.high, f"{label}: {band.value[-1]:.1%}", **style)


def _sizes(models: Runs) -> str:
    """'network 2100 objects x 3 runs, forest 2100 objects'."""
    texts = []
    for name, runs in models.items():
        number = sorted({len(part) for part in runs})
        objects = f"{number[0]}" if len(number) == 1 else f"{number[0]}–{number[-1]}"
        texts.append(f"{name} {objects} objects" + (f" × {len(runs)} runs" if len(runs) > 1 else ""))
    return ", ".join(texts)


def _errors(models: Runs, of: str) -> str:
    return " or ".join(dict.fromkeys(error_text(runs, of) for runs in models.values())) or "none"

"""Accuracy over magnitude and number of images, beside recall per class over time: figure 7 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from skyreel.evaluate.figures_series import correct, error_text, longest
from skyreel.evaluate.figures_style import TEXT, Drawing, Runs, new_figure, tidy, title
from skyreel.evaluate.figures_time import draw_class_recalls
from skyreel.evaluate.outcomes import Outcomes

IMAGES = (1, 3, 5, 6, 7, 10, 14, 18, 22)
"""Numbers of images shown; 6 is the alert in the paper's window."""
FEWEST = 5
"""Cells of fewer objects stay empty."""


def magnitude_and_recall(simulated: Runs, real: Runs, data: str = "the real set") -> Drawing:
    """Figure 7 of the paper: one row per model, left the map of `accuracy_map`, right the recall of each real class.

    Parameters
    ----------
    simulated : mapping of str -> sequence of Outcomes
        Model -> outcomes on the simulated test set, one per seed.
    real : mapping of str -> sequence of Outcomes
        Model -> outcomes on the real set, one per draw (or seed).
    data : str
        Name of the real set, for the caption.
    """
    names = list(dict.fromkeys([*simulated, *real]))
    figure = new_figure(12.8, 0.6 + 4.6 * len(names))
    panels = figure.subplots(len(names), 2, squeeze=False, width_ratios=[1.15, 1])
    for (left, right), name in zip(panels, names, strict=True):
        title(left, f"{name}: simulated test set")
        title(right, f"{name}: {data}")
        if name in simulated:
            _map(figure, left, simulated[name])
        else:
            _missing(left)
        if name in real:
            draw_class_recalls(right, real[name])
            right.legend(frameon=False, loc="lower right", fontsize=9, title="class (objects): recall at the end", title_fontsize=9)
        else:
            _missing(right)
    bands = " or ".join(dict.fromkeys(error_text(runs, "draws") for runs in real.values()))
    caption = (
        f"Left: accuracy on the simulated test set by magnitude and number of images; each cell holds the per cent that are right "
        f"and the number of objects that have so many images (runs together; cells of fewer than {FEWEST} stay empty). Magnitude: "
        f"median PSF magnitude of the images; the last row also holds objects whose median flux is not positive. Right: recall of "
        f"each class of {data}; bands: {bands or 'none'}; dotted: median image of the supernovae's alert."
    )
    return Drawing(figure, caption)


@dataclass(frozen=True)
class AccuracyMap:
    """Accuracy by magnitude and number of images, of the objects that have so many.

    Attributes
    ----------
    rows : tuple of str
        Limits of the magnitude bins, bright ones first.
    share : float (rows, images)
        Share that is right; NaN for fewer than `FEWEST` objects.
    number : int (rows, images)
        Objects.
    """

    rows: tuple[str, ...]
    share: NDArray[np.float64]
    number: NDArray[np.intp]


def accuracy_map(runs: Sequence[Outcomes], images: Sequence[int] = IMAGES) -> AccuracyMap:
    """Accuracy in whole magnitudes; the outermost rows hold all that is brighter or fainter.

    The bounds are the 1st and the 85th percentile of the magnitudes, rounded outwards. Objects without a magnitude (their
    median flux is not positive) are in the last row.

    Parameters
    ----------
    runs : sequence of Outcomes
        Their objects are put together.
    images : sequence of int
    """
    mag = np.concatenate([part.mag for part in runs])
    known = mag[np.isfinite(mag)]
    low, high = np.percentile(known, [1, 85]) if known.size else (0.0, 1.0)
    bounds = np.arange(np.floor(low), np.ceil(high) + 0.5)
    row = np.where(np.isfinite(mag), np.searchsorted(bounds, mag, side="right"), len(bounds))
    names = [f"< {bounds[0]:.0f}", *(f"{bound:.0f}–{bound + 1:.0f}" for bound in bounds[:-1]), f"≥ {bounds[-1]:.0f}"]
    right = np.concatenate([correct(part, max(images)) for part in runs])[:, np.array(images) - 1]
    reached = np.concatenate([part.n_images for part in runs])[:, None] >= np.array(images)
    inside = (row == np.arange(len(names))[:, None]).astype(np.intp)
    number = inside @ reached.astype(np.intp)
    good = inside @ (right & reached).astype(np.intp)
    return AccuracyMap(tuple(names), np.where(number >= FEWEST, good / np.maximum(number, 1), np.nan), number)


def _map(figure: Figure, axes: Axes, runs: Sequence[Outcomes]) -> None:
    images = [k for k in IMAGES if k <= longest(runs)]
    found = accuracy_map(runs, images)
    picture = axes.imshow(found.share, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(found.share):
        if np.isfinite(value):
            colour = TEXT if value > 0.6 else "white"
            axes.text(x, y, f"{value:.0%}\n{found.number[y, x]}", ha="center", va="center", fontsize=8, color=colour, linespacing=1.05)
    tidy(axes, "number of images", "magnitude [mag]")
    axes.set_xticks(range(len(images)), [str(k) for k in images])
    axes.set_yticks(range(len(found.rows)), found.rows)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = figure.colorbar(picture, ax=axes, pad=0.02, format=PercentFormatter(1.0, decimals=0))
    bar.set_label("accuracy", color=TEXT)
    bar.outline.set_visible(False)


def _missing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not scored", ha="center", va="center", color=TEXT, transform=axes.transAxes)
    axes.axis("off")

"""One look for all figures: colours, marks, axes, captions. White ground, so that they read in print and on a dark page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from skyreel.evaluate.outcomes import Outcomes
from skyreel.interfaces import CLASSES, class_order

Runs = Mapping[str, Sequence[Outcomes]]
"""Name of a model -> its outcomes on one set, one per seed or per draw of labelled examples."""

PALETTE = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#777777")
"""'Bright' qualitative scheme of P. Tol (SRON/EPS/TN/09-002, issue 3.2), safe for colour-blind readers; its grey is
darkened to be seen on white. One colour per class."""
MODEL_PALETTE = ("#004488", "#BB5566", "#997700", "#222222", "#44AA99", "#882255")
"""Models, in the order given: 'high-contrast' scheme of the same source with its yellow darkened, then three of 'muted'."""
TEXT, GRID = "#222222", "#DDDDDD"
_MARKERS = "osD^vPX"


@dataclass(frozen=True)
class Drawing:
    """A figure and what must stand under it.

    Attributes
    ----------
    figure : Figure
    caption : str
        Says what is shown, of how many objects, and what its errors are.
    """

    figure: Figure
    caption: str


def class_style(name: str, classes: Sequence[str]) -> dict[str, Any]:
    """Colour, marker and line of a class: the paper's seven always look the same, others follow with broken lines."""
    order = class_order([*CLASSES, *classes])
    index = order.index(name)
    line = "-" if index < len(PALETTE) else "--"
    return {"color": PALETTE[index % len(PALETTE)], "marker": _MARKERS[index % len(_MARKERS)], "linestyle": line}


def model_style(name: str, names: Iterable[str]) -> dict[str, Any]:
    """Colour and marker of a model by its place among all the models of a report."""
    index = list(dict.fromkeys(names)).index(name)
    return {"color": MODEL_PALETTE[index % len(MODEL_PALETTE)], "marker": _MARKERS[index % len(_MARKERS)]}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure [inch] that places its own axes, on white."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one axes."""
    figure = new_figure(width, height)
    return figure, figure.add_subplot()


def tidy(axes: Axes, x: str, y: str) -> None:
    """Labels, a light grid, no box."""
    axes.set_xlabel(x, color=TEXT)
    axes.set_ylabel(y, color=TEXT)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=TEXT)


def share_axes(axes: Axes, title: str) -> None:
    """A share in per cent against the number of images."""
    tidy(axes, "number of images", title)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(left=0.5)


def after_text(images: int | None) -> str:
    """'after all images', 'after 1 image', 'after 6 images'."""
    if images is None:
        return "after all images"
    return f"after {images} image{'' if images == 1 else 's'}"


def share_from(axes: Axes, lowest: float) -> None:
    """Lets the vertical axis of a share start at the tenth below `lowest`."""
    axes.set_ylim(max(0.0, np.floor(10 * lowest - 1e-9) / 10), 1.02)


def title(axes: Axes, text: str) -> None:
    """Title of a panel, on its left."""
    axes.set_title(text, color=TEXT, fontsize=11, loc="left")


def line_with_band(
    axes: Axes, x: NDArray[Any], value: NDArray[Any], low: NDArray[Any], high: NDArray[Any], label: str, **style: Any
) -> None:
    """A curve and the band of its error."""
    axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.plot(x, value, markersize=4, label=label, **style)

"""What an answer costs: time per object and image, relative to a yardstick that every run measures itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import MaxNLocator

from skyreel.errors import DataError
from skyreel.evaluate.exhibits_parts import Cost
from skyreel.evaluate.figures_style import TEXT, Drawing, model_style, new_figure, tidy


def cost_ratio(cost: Cost) -> float:
    """Time for a classification over time for the PSF photometry of the same images, both measured in one process.

    Raises
    ------
    DataError
        If nothing was timed.
    """
    if not cost.objects or not cost.yardstick > 0:
        raise DataError("cost of a classification", "nothing was timed", "run `skyreel evaluate` again")
    return cost.seconds / cost.yardstick


def cost_figure(costs: Mapping[str, Cost]) -> Drawing:
    """Milliseconds per object and per image, and the ratio to the yardstick, as bars.

    Parameters
    ----------
    costs : mapping of str -> Cost
        Model -> what its run measured.
    """
    names = list(costs)
    figure = new_figure(10.4, 1.5 + 0.5 * len(names))
    columns = {  # the ratio refuses what was not timed, so it comes first
        "relative to PSF photometry": [cost_ratio(cost) for cost in costs.values()],
        "per object [ms]": [1e3 * cost.seconds / cost.objects for cost in costs.values()],
        "per image [ms]": [1e3 * cost.seconds / cost.images for cost in costs.values()],
    }
    for panel, (axes, (text, values)) in enumerate(zip(figure.subplots(1, 3, sharey=True), columns.items(), strict=True)):
        axes.barh(names, values, color=[model_style(name, names)["color"] for name in names], height=0.6)
        for place, value in enumerate(values):
            axes.text(value, place, f" {value:.3g}", va="center", color=TEXT, fontsize=10)
        tidy(axes, text, "")
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlim(0, 1.22 * max(values))
        if panel == 0:
            axes.invert_yaxis()
    relative = columns["relative to PSF photometry"]
    best = int(np.argmin(relative))
    ratios = [f"{name} {value / relative[best]:.3g}" for name, value in zip(names, relative, strict=True)]
    sizes = ", ".join(f"{name} {cost.objects} objects of {cost.images} images" for name, cost in costs.items())
    caption = (
        f"Time for the probabilities after every image ({sizes}; best of several repeats). Left: it over the time that "
        f"PSF-weighted photometry of the same images takes in the same process, which can be compared between runs and machines"
        + (f"; relative to {names[best]}: {', '.join(ratios)}." if len(names) > 1 else ".")
    )
    return Drawing(figure, caption)

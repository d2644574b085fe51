"""The simulated galaxies: magnitudes, distances from the source, and whatever else the component `host` draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyreel.evaluate.figures_style import Drawing, class_style, new_figure, tidy
from skyreel.evaluate.gallery_sample import Sample, common_band
from skyreel.evaluate.gallery_sky import edges_of
from skyreel.evaluate.names import long_name, short_name

MOST = 16
"""Panels."""
COLUMNS = 4
OFFSETS = {"light": "source drawn from the galaxy's light", "chance": "chance alignments", "centre": "the galaxy itself"}
"""Offset law of `HostPolicy` -> words of the legend."""


@dataclass(frozen=True)
class Galaxies:
    """The galaxies of all classes that have theirs by the same law.

    Attributes
    ----------
    labels : tuple of str
        Classes.
    offset : str
        Offset law of their `HostPolicy`.
    values : dict of str -> float64 (n,)
        Quantity -> one value per galaxy.
    """

    labels: tuple[str, ...]
    offset: str
    values: dict[str, NDArray[np.float64]]

    @property
    def name(self) -> str:
        """Words of the legend: the law, the classes and the number of galaxies."""
        names = long_name(self.labels[0]) if len(self.labels) == 1 else ", ".join(map(short_name, self.labels))
        return f"{OFFSETS.get(self.offset, self.offset)} ({names}): {len(next(iter(self.values.values())))}"


def galaxies_of(samples: Mapping[str, Sample]) -> list[Galaxies]:
    """Galaxies in the stamps, classes with the same law joined; no entry for a class without any."""
    laws: dict[tuple[str, bool], list[str]] = {}
    for name, found in samples.items():
        if found.host.any():
            laws.setdefault((found.policy.offset, found.policy.redshift is not None), []).append(name)
    return [Galaxies(tuple(names), offset, _values([samples[name] for name in names])) for (offset, _), names in laws.items()]


def host_figure(samples: Mapping[str, Sample]) -> Drawing | None:
    """Distributions of what is drawn for the galaxies; None where no object has one."""
    groups = galaxies_of(samples)
    if not groups:
        return None
    names = list(dict.fromkeys(name for group in groups for name in group.values))[:MOST]
    rows = -(-len(names) // COLUMNS)
    figure = new_figure(13.4, 2.7 * rows + 0.5)
    panels = figure.subplots(rows, min(COLUMNS, len(names)), squeeze=False)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(panels.flat, names, strict=False):
        parts = [group.values.get(name, np.zeros(0)) for group in groups]
        edges = edges_of(np.concatenate(parts))
        for group, part in zip(groups, parts, strict=True):
            count = np.histogram(part, edges)[0]
            colour = class_style(group.labels[0], list(samples))["color"]
            axes.stairs(count / max(count.max(), 1), edges, color=colour, linewidth=1.5, label=group.name)
        tidy(axes, name, "galaxies, scaled")
        axes.set_ylim(0, 1.08)
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(groups), frameon=False)
    caption = (
        "Galaxies in the stamps, by the law that places them (classes and number of galaxies in brackets), each histogram scaled to its "
        "largest bin: total magnitude, distance between source and galaxy, and every number that the component host draws, under its "
        "own name."
    )
    return Drawing(figure, caption)


def _values(parts: Sequence[Sample]) -> dict[str, NDArray[np.float64]]:
    """Quantity -> values of all galaxies of these classes; columns that are no numbers, or the magnitude again, are left out."""
    exposures = parts[0].exposures
    band = common_band(exposures)
    magnitude = np.concatenate([part.host_mag[part.host, band] for part in parts])
    out = {f"magnitude in {exposures.bands[band]}": magnitude}
    distance = np.concatenate([part.host_distance[part.host] for part in parts])
    if distance.any():
        out['distance from the source ["]'] = distance
    for name in parts[0].host_params:
        column = np.concatenate([part.host_params[name][part.host] for part in parts])
        if column.dtype.kind in "fiub" and np.isfinite(column).any() and not np.allclose(column, magnitude, equal_nan=True):
            out[name] = column.astype(np.float64)
    return out

"""The chain of the paper for one block of objects: dates, light curve, counts, PSF, host, sky, detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import PSF, Detector, Host, Params, PixelBits, Source, Survey
from skyreel.movies import Movies, Truth
from skyreel.seeding import BLOCK, Seeds
from skyreel.simulate.dates import Dates, WindowRule, alerted, borrowed, observe, time_window
from skyreel.simulate.imaging import Imaging
from skyreel.simulate.neighbours import draw
from skyreel.simulate.options import SimulationOptions
from skyreel.simulate.scene import Scene, centres, counts, cuts, galaxies, recentred, trails, true_conditions


@dataclass(frozen=True)
class Simulation:
    """A survey, its classes and everything between the light curve and the stored number.

    Attributes
    ----------
    survey, psf, host, detector
        Components.
    sources : mapping of str to Source
        Class label -> component, in the project's order.
    options : SimulationOptions
    rule : WindowRule
    stamp_size : int
        Side of the stamps [px].
    seed : int
        Root seed.
    """

    survey: Survey
    sources: Mapping[str, Source]
    psf: PSF
    host: Host
    detector: Detector
    options: SimulationOptions
    rule: WindowRule
    stamp_size: int
    seed: int

    def block(self, split: str, label: str, number: int) -> Movies:
        """Block `number` of one class: always BLOCK movies, a function of (seed, config, split, label, number) alone.

        Parameters
        ----------
        split : str
            Name of the set, for example 'train'; sets of different names share no object.
        label : str
            Class.
        number : int
        """
        scene = self.scene(split, label, number)
        pixels, bits = self.imaging.images(scene)
        hosts, reported = scene.hosts, scene.dates.exposures
        columns = {
            **scene.params,
            **around(scene),
            **{f"host_{name}": _where(hosts.present, column) for name, column in hosts.params.items()},
        }
        return Movies(
            pixels=pixels,
            pixel_mask=bits,
            frame_mask=reported.mask & with_data(bits),
            reported=reported,
            label=np.full(BLOCK, label),
            object_id=object_ids(split, label, number),
            first_detection=scene.dates.first_detection,
            truth=Truth(scene.true, scene.flux, scene.centre, hosts.present, columns),
        )

    def scene(self, split: str, label: str, number: int) -> Scene:
        """Everything about block `number` of one class but its images; see `block`."""
        seeds = Seeds(self.seed, f"{split}/{label}", number)
        source = self.sources[label]
        dates, params = self._dates(source, label, seeds)
        true = true_conditions(dates.exposures, self.options, seeds)
        curve = recentred(observe(source, label, params, true), dates.first_detection)
        scale = self.survey.camera.pixel_scale
        cut = cuts(true.shape, self.options, seeds.rng("centre"))
        half = 0.5 * self.stamp_size * scale
        hosts = galaxies(self.host, source, label, params, self.survey.bands, half, seeds, BLOCK)
        neighbours = draw(BLOCK, self.survey.bands, half + scale, self.options.neighbours, seeds)
        flux = counts(curve.mag, true)
        return Scene(seeds, dates, params, true, flux, centres(curve, cut, scale), cut, trails(curve, scale), hosts, neighbours)

    @cached_property
    def imaging(self) -> Imaging:
        """What turns scenes into images."""
        return Imaging(self.survey, self.psf, self.host, self.detector, self.options, self.stamp_size)

    def _dates(self, source: Source, label: str, seeds: Seeds) -> tuple[Dates, Params]:
        triggers = {name: item for name, item in self.sources.items() if item.triggers}
        if source.triggers and self.options.window:
            dates = alerted(self.survey, source, label, BLOCK, seeds, self.rule, self.options)
            assert dates.params is not None
            return dates, dates.params
        dates = borrowed(self.survey, triggers, BLOCK, seeds, self.rule, self.options)
        return dates, source.sample(BLOCK, seeds.rng("params"), window=time_window(dates.exposures))


def object_ids(split: str, label: str, number: int) -> NDArray[np.str_]:
    """Names of the objects of a block."""
    return np.array([f"{split}-{label}-{number * BLOCK + i:07d}" for i in range(BLOCK)])


def around(scene: Scene) -> Params:
    """What a scene holds beside its sources, as columns (n,) of the truth."""
    number = np.zeros(len(scene.true)) if scene.neighbours is None else scene.neighbours.number
    return {"neighbours": number, "registered": scene.cut.registered}


def with_data(bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Frames (n, T) that hold at least one pixel, for masks (n, T, C, H, W)."""
    return np.asarray(((bits & PixelBits.NO_DATA) == 0).any(axis=(2, 3, 4)))


def _where(present: NDArray[np.bool_], column: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.where(present, np.asarray(column, np.float64), np.nan)

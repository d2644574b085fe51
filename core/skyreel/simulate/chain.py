"""The chain of the paper for one block of objects: dates, light curve, counts, PSF, host, sky, detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from skyreel.exposures import Exposures
from skyreel.interfaces import PSF, Detector, Host, Params, Source, Survey
from skyreel.movies import Movies, Truth, lossless
from skyreel.seeding import BLOCK, Seeds
from skyreel.simulate.dates import Dates, WindowRule, alerted, borrowed, observe, time_window
from skyreel.simulate.detector import expose
from skyreel.simulate.options import SimulationOptions
from skyreel.simulate.render import grid_size, render
from skyreel.simulate.scene import Galaxies, centres, counts, galaxies, recentred, trails, true_conditions

CHUNK = 16
"""Objects rendered together: sorted by length, so that short movies cost little."""


@dataclass(frozen=True)
class Scene:
    """What is drawn for one block of n objects at T epochs before any image is made.

    Attributes
    ----------
    seeds : Seeds
    dates : Dates
        Reported conditions and first detections.
    params : Params
        Of the sources.
    true : Exposures, (n, T)
        Conditions that render the images.
    flux : float32 (n, T), ADU
    centre, cut : float32 (n, T, 2), px
        Position of the source and of the cut relative to the central pixel's middle.
    trail : float32 (n, T, 2) or None, px
    hosts : Galaxies
    """

    seeds: Seeds
    dates: Dates
    params: Params
    true: Exposures
    flux: NDArray[np.float32]
    centre: NDArray[np.float32]
    cut: NDArray[np.float32]
    trail: NDArray[np.float32] | None
    hosts: Galaxies


@dataclass(frozen=True)
class Light:
    """Expected counts of some objects of a block, without sky.

    Attributes
    ----------
    rows : int (k,)
        Which objects.
    exposures : Exposures, (k, L)
        Their first L epochs.
    source, host : float tensors (k, L, H, W), ADU
    """

    rows: NDArray[np.intp]
    exposures: Exposures
    source: torch.Tensor
    host: torch.Tensor


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
        pixels, bits = self._images(scene)
        hosts, reported = scene.hosts, scene.dates.exposures
        columns = {**scene.params, **{f"host_{name}": _where(hosts.present, column) for name, column in hosts.params.items()}}
        return Movies(
            pixels=pixels,
            pixel_mask=bits,
            frame_mask=reported.mask.copy(),
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
        centre, cut = centres(curve, true.shape, scale, self.options, seeds.rng("centre"))
        half = 0.5 * self.stamp_size * scale
        hosts = galaxies(self.host, source, label, params, self.survey.bands, half, seeds, BLOCK)
        return Scene(seeds, dates, params, true, counts(curve.mag, true), centre, cut, trails(curve, scale), hosts)

    def light(self, scene: Scene, flux: NDArray[np.float32]) -> Iterator[Light]:
        """Expected counts of sources of `flux` (n, T) [ADU] and of their hosts, `CHUNK` objects at a time."""
        grid = grid_size(self.stamp_size)
        weights = self.psf.coefficients(scene.true, scene.seeds)
        orientation = scene.seeds.rng("orientation").integers(0, 8, len(scene.true))
        lengths = scene.true.mask.sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        for rows in np.split(order, range(CHUNK, len(order), CHUNK)):
            last = int(lengths[rows].max())
            part = scene.true.take(rows).window(np.zeros(len(rows), np.intp), last)
            source = render(
                self._basis,
                weights[rows, :last],
                flux[rows, :last],
                scene.centre[rows, :last],
                orientation[rows],
                size=self.stamp_size,
                oversample=self.options.oversample,
                grid=grid,
                trail=None if scene.trail is None else scene.trail[rows, :last],
            )
            host = torch.zeros_like(source)
            lit = np.nonzero(scene.hosts.present[rows])[0]
            if len(lit):
                chosen = rows[lit]
                host[torch.from_numpy(lit)] = self._host_light(part.take(lit), chosen, weights[chosen, :last], orientation[chosen], scene)
            yield Light(rows, part, source, host)

    @cached_property
    def _basis(self) -> NDArray[np.float64]:
        basis = self.psf.basis(self.survey.camera.pixel_scale, grid_size(self.stamp_size), self.options.oversample)
        basis.flags.writeable = False  # the renderer keeps the spectra of arrays that cannot change
        return basis

    def _dates(self, source: Source, label: str, seeds: Seeds) -> tuple[Dates, Params]:
        triggers = {name: item for name, item in self.sources.items() if item.triggers}
        if source.triggers and self.options.window:
            dates = alerted(self.survey, source, label, BLOCK, seeds, self.rule, self.options)
            assert dates.params is not None
            return dates, dates.params
        dates = borrowed(self.survey, triggers, BLOCK, seeds, self.rule, self.options)
        return dates, source.sample(BLOCK, seeds.rng("params"), window=time_window(dates.exposures))

    def _images(self, scene: Scene) -> tuple[NDArray[np.float32] | NDArray[np.uint16], NDArray[np.uint8]]:
        pixels = np.zeros((*scene.true.shape, 1, self.stamp_size, self.stamp_size), np.float32)
        bits = np.zeros(pixels.shape, np.uint8)
        generator = scene.seeds.torch("noise")
        for light in self.light(scene, scene.flux):
            last = light.exposures.shape[1]
            expected = light.source + light.host + torch.from_numpy(light.exposures.sky)[:, :, None, None]
            image, mask = expose(expected[:, :, None], light.exposures, self.detector, generator)
            valid = light.exposures.mask[:, :, None, None, None]
            pixels[light.rows, :last] = np.where(valid, image.numpy(), 0)
            bits[light.rows, :last] = np.where(valid, mask.numpy(), 0)
        return lossless(pixels), bits

    def _host_light(
        self, true: Exposures, rows: NDArray[np.intp], weights: NDArray[np.float64], orientation: NDArray[np.int64], scene: Scene
    ) -> torch.Tensor:
        hosts, epochs, grid = scene.hosts, true.shape[1], grid_size(self.stamp_size)
        image = self.host.image(
            {name: column[rows] for name, column in hosts.params.items()},
            hosts.centre[rows],
            self.survey.bands,
            self.survey.camera.pixel_scale,
            grid,
            self.options.oversample,
        )
        mag = np.take_along_axis(hosts.mag[rows], true.band.astype(np.intp), axis=1)
        light: torch.Tensor = render(
            self._basis,
            weights,
            np.zeros(true.shape, np.float32),
            np.zeros((*true.shape, 2), np.float32),
            orientation,
            size=self.stamp_size,
            oversample=self.options.oversample,
            grid=grid,
            host_image=image,
            host_flux=counts(mag, true),
            host_band=true.band if image.shape[1] > 1 else np.zeros_like(true.band),
            host_shift=scene.cut[rows, :epochs],
        )
        return light


def object_ids(split: str, label: str, number: int) -> NDArray[np.str_]:
    """Names of the objects of a block."""
    return np.array([f"{split}-{label}-{number * BLOCK + i:07d}" for i in range(BLOCK)])


def _where(present: NDArray[np.bool_], column: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.where(present, np.asarray(column, np.float64), np.nan)

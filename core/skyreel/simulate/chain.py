"""The chain of the paper for one block of objects: dates, light curve, counts, PSF, host, sky, detector."""

from __future__ import annotations

from collections.abc import Mapping
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
from skyreel.simulate.scene import Galaxies, centres, counts, galaxies, trails, true_conditions

CHUNK = 16
"""Objects rendered together: sorted by length, so that short movies cost little."""


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
        seeds = Seeds(self.seed, f"{split}/{label}", number)
        source = self.sources[label]
        dates, params = self._dates(source, label, seeds)
        reported = dates.exposures
        true = true_conditions(reported, self.options, seeds)
        curve = observe(source, label, params, true)
        scale = self.survey.camera.pixel_scale
        centre, cut = centres(curve, reported.shape, scale, self.options, seeds.rng("centre"))
        flux = counts(curve.mag, true)
        half = 0.5 * self.stamp_size * scale
        hosts = galaxies(self.host, source, label, params, self.survey.bands, half, seeds, BLOCK)
        pixels, bits = self._images(true, flux, centre, cut, trails(curve, scale), hosts, seeds)
        columns = {**params, **{f"host_{name}": _where(hosts.present, column) for name, column in hosts.params.items()}}
        return Movies(
            pixels=pixels,
            pixel_mask=bits,
            frame_mask=reported.mask.copy(),
            reported=reported,
            label=np.full(BLOCK, label),
            object_id=np.array([f"{split}-{label}-{number * BLOCK + i:07d}" for i in range(BLOCK)]),
            first_detection=dates.first_detection,
            truth=Truth(true, flux, centre, hosts.present, columns),
        )

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

    def _images(
        self,
        true: Exposures,
        flux: NDArray[np.float32],
        centre: NDArray[np.float32],
        cut: NDArray[np.float32],
        trail: NDArray[np.float32] | None,
        hosts: Galaxies,
        seeds: Seeds,
    ) -> tuple[NDArray[np.float32] | NDArray[np.uint16], NDArray[np.uint8]]:
        n, epochs = true.shape
        size = self.stamp_size
        pixels = np.zeros((n, epochs, 1, size, size), np.float32)
        bits = np.zeros(pixels.shape, np.uint8)
        grid = grid_size(size)
        basis = self._basis
        weights = self.psf.coefficients(true, seeds)
        orientation = seeds.rng("orientation").integers(0, 8, n)
        generator = seeds.torch("noise")
        lengths = true.mask.sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        for rows in np.split(order, range(CHUNK, n, CHUNK)):
            last = int(lengths[rows].max())
            part = true.take(rows).window(np.zeros(len(rows), np.intp), last)
            scene = render(
                basis,
                weights[rows, :last],
                flux[rows, :last],
                centre[rows, :last],
                orientation[rows],
                size=size,
                oversample=self.options.oversample,
                grid=grid,
                trail=None if trail is None else trail[rows, :last],
            )
            lit = np.nonzero(hosts.present[rows])[0]
            if len(lit):
                scene[torch.from_numpy(lit)] += self._host_light(part.take(lit), rows[lit], weights, orientation, cut, hosts, basis, grid)
            scene = scene + torch.from_numpy(part.sky)[:, :, None, None]
            image, mask = expose(scene[:, :, None], part, self.detector, generator)
            valid = part.mask[:, :, None, None, None]
            pixels[rows, :last] = np.where(valid, image.numpy(), 0)
            bits[rows, :last] = np.where(valid, mask.numpy(), 0)
        return lossless(pixels), bits

    def _host_light(
        self,
        true: Exposures,
        rows: NDArray[np.intp],
        weights: NDArray[np.float64],
        orientation: NDArray[np.int64],
        cut: NDArray[np.float32],
        hosts: Galaxies,
        basis: NDArray[np.float64],
        grid: int,
    ) -> torch.Tensor:
        epochs = true.shape[1]
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
            basis,
            weights[rows, :epochs],
            np.zeros(true.shape, np.float32),
            np.zeros((*true.shape, 2), np.float32),
            orientation[rows],
            size=self.stamp_size,
            oversample=self.options.oversample,
            grid=grid,
            host_image=image,
            host_flux=counts(mag, true),
            host_band=true.band if image.shape[1] > 1 else np.zeros_like(true.band),
            host_shift=cut[rows, :epochs],
        )
        return light


def _where(present: NDArray[np.bool_], column: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.where(present, np.asarray(column, np.float64), np.nan)

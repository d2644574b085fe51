"""From a scene to what the detector wrote: light through the PSF, neighbours, sky, detector, resampling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from skyreel.exposures import Exposures
from skyreel.interfaces import PSF, Detector, Host, Survey
from skyreel.movies import lossless
from skyreel.simulate.background import sky_background
from skyreel.simulate.detector import expose
from skyreel.simulate.options import SimulationOptions
from skyreel.simulate.render import grid_size, render
from skyreel.simulate.scene import Scene, counts

CHUNK = 16
"""Objects rendered together: sorted by length, so that short movies cost little."""


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
class Imaging:
    """Everything between a scene and its images.

    Attributes
    ----------
    survey, psf, host, detector
        Components.
    options : SimulationOptions
    stamp_size : int
        Side of the stamps [px].
    """

    survey: Survey
    psf: PSF
    host: Host
    detector: Detector
    options: SimulationOptions
    stamp_size: int

    def images(self, scene: Scene) -> tuple[NDArray[np.float32] | NDArray[np.uint16], NDArray[np.uint8]]:
        """Pixels [ADU] and their bit masks, both (n, T, 1, H, W); 0 where no exposure exists."""
        pixels = np.zeros((*scene.true.shape, 1, self.stamp_size, self.stamp_size), np.float32)
        bits = np.zeros(pixels.shape, np.uint8)
        generator = scene.seeds.torch("noise")
        for light in self.light(scene, scene.flux):
            last = light.exposures.shape[1]
            expected = light.source + light.host + sky_background(scene, light.rows, light.exposures, self.stamp_size)
            image, mask = expose(expected[:, :, None], light.exposures, self.detector, generator)
            valid = light.exposures.mask[:, :, None, None, None]
            pixels[light.rows, :last] = np.where(valid, image.numpy(), 0)
            bits[light.rows, :last] = np.where(valid, mask.numpy(), 0)
        return lossless(pixels), bits

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

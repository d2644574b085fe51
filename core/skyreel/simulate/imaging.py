"""From a scene to what the detector wrote: light through the PSF, neighbours, sky, detector, resampling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skyreel.exposures import Exposures
from skyreel.interfaces import PSF, Detector, Host, Survey
from skyreel.movies import lossless
from skyreel.simulate.detector import expose
from skyreel.simulate.device import device
from skyreel.simulate.neighbours import Neighbours
from skyreel.simulate.options import SimulationOptions
from skyreel.simulate.render import grid_size, render
from skyreel.simulate.resampling import interpolate, margin, register
from skyreel.simulate.scene import Scene, counts

CHUNK = 64
"""Objects rendered together, sorted by length: a whole block, as every call of the renderer has a fixed cost of some milliseconds."""


@dataclass(frozen=True)
class Light:
    """Expected counts of some objects of a block, without sky.

    Attributes
    ----------
    rows : int (k,)
        Which objects.
    exposures : Exposures, (k, L)
        Their first L epochs.
    source, host, neighbours : float tensors (k, L, H, W), ADU
    """

    rows: NDArray[np.intp]
    exposures: Exposures
    source: torch.Tensor
    host: torch.Tensor
    neighbours: torch.Tensor


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
        generator = scene.seeds.torch("noise", str(self._device))
        kernel = self.options.resampling
        for registered, objects in self._ways(scene):
            for light in self.light(scene, scene.flux, objects, margin(kernel) if registered else 0):
                last = light.exposures.shape[1]
                sky = torch.from_numpy(light.exposures.sky).to(self._device)[:, :, None, None]
                expected = light.source + light.host + light.neighbours + sky
                image, mask = expose(expected[:, :, None], light.exposures, self.detector, generator)
                if registered:
                    image, mask = register(image, mask, scene.cut.shift[light.rows, :last], self.stamp_size, kernel)
                valid = light.exposures.mask[:, :, None, None, None]
                pixels[light.rows, :last] = np.where(valid, image.cpu().numpy(), 0)
                bits[light.rows, :last] = np.where(valid, mask.cpu().numpy(), 0)
        return lossless(pixels), bits

    def shown(self, scene: Scene, flux: NDArray[np.float32]) -> Iterator[Light]:
        """Expected counts as the stored stamps show them: registered images went through the interpolation, too."""
        kernel = self.options.resampling
        for registered, objects in self._ways(scene):
            for light in self.light(scene, flux, objects, margin(kernel) if registered else 0):
                if not registered:
                    yield light
                    continue
                shift = scene.cut.shift[light.rows, : light.exposures.shape[1]]
                parts = (light.source, light.host, light.neighbours)
                yield Light(
                    light.rows,
                    light.exposures,
                    *(interpolate(part[:, :, None], shift, self.stamp_size, kernel)[:, :, 0] for part in parts),
                )

    def _ways(self, scene: Scene) -> list[tuple[bool, NDArray[np.intp]]]:
        """Objects whose frames are stored as exposed, and those whose are interpolated."""
        smooth = scene.cut.registered & (self.options.resampling != "none")
        return [(registered, np.flatnonzero(smooth == registered)) for registered in (False, True)]

    def light(self, scene: Scene, flux: NDArray[np.float32], objects: NDArray[np.intp] | None = None, edge: int = 0) -> Iterator[Light]:
        """Expected counts of sources, hosts and neighbours, `CHUNK` objects at a time.

        Parameters
        ----------
        scene : Scene
        flux : (n, T)
            Of the sources [ADU].
        objects : int array or None
            Those wanted; None: all.
        edge : int
            0: on the stamps' grid. Otherwise, on the frame's own grid (`Cut.shift`) and so many pixels beyond the stamp on every side.
        """
        grid = grid_size(self.stamp_size)
        weights = self.psf.coefficients(scene.true, scene.seeds)
        turn = scene.seeds.rng("orientation").integers(0, self.psf.orientations, len(scene.true))
        lengths = scene.true.mask.sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        order = order if objects is None else order[np.isin(order, objects)]
        move = scene.cut.shift if edge else np.zeros_like(scene.cut.shift)
        for rows in np.split(order, range(CHUNK, len(order), CHUNK)) if len(order) else ():
            last = int(lengths[rows].max())
            part = scene.true.take(rows).window(np.zeros(len(rows), np.intp), last)
            common: dict[str, Any] = {
                "size": self.stamp_size + 2 * edge,
                "oversample": self.options.oversample,
                "grid": grid,
                "device": self._device,
            }
            source = render(
                self._basis,
                weights[rows, :last],
                flux[rows, :last],
                (scene.centre + move)[rows, :last],
                turn[rows],
                trail=None if scene.trail is None else scene.trail[rows, :last],
                **common,
            )
            host, around = torch.zeros_like(source), torch.zeros_like(source)
            place = (scene.cut.place + move)[rows, :last]
            lit = np.nonzero(scene.hosts.present[rows])[0]
            if len(lit):
                chosen = rows[lit]
                shown = self._host_light(part.take(lit), chosen, weights[chosen, :last], turn[chosen], place[lit], scene, common)
                host[torch.from_numpy(lit).to(host.device)] = shown
            if scene.neighbours is not None:
                around = self._neighbour_light(part, weights[rows, :last], turn[rows], place, scene.neighbours.take(rows), common)
            yield Light(rows, part, source, host, around)

    @cached_property
    def _device(self) -> torch.device:
        return device(self.options.device)

    @cached_property
    def _basis(self) -> NDArray[np.float64]:
        basis = self.psf.basis(self.survey.camera.pixel_scale, grid_size(self.stamp_size), self.options.oversample)
        basis.flags.writeable = False  # the renderer keeps the spectra of arrays that cannot change
        return basis

    def _host_light(
        self,
        true: Exposures,
        rows: NDArray[np.intp],
        weights: NDArray[np.float64],
        turn: NDArray[np.int64],
        place: NDArray[np.float32],
        scene: Scene,
        common: dict[str, Any],
    ) -> torch.Tensor:
        hosts = scene.hosts
        image = self.host.image(
            {name: column[rows] for name, column in hosts.params.items()},
            hosts.centre[rows],
            self.survey.bands,
            self.survey.camera.pixel_scale,
            common["grid"],
            common["oversample"],
        )
        mag = np.take_along_axis(hosts.mag[rows], true.band.astype(np.intp), axis=1)
        dark = np.zeros(true.shape, np.float32)
        return render(
            self._basis,
            weights,
            dark,
            np.zeros((*true.shape, 2), np.float32),
            turn,
            host_image=image,
            host_flux=counts(mag, true),
            host_band=true.band if image.shape[1] > 1 else np.zeros_like(true.band),
            host_shift=place,
            **common,
        )

    def _neighbour_light(
        self,
        true: Exposures,
        weights: NDArray[np.float64],
        turn: NDArray[np.int64],
        place: NDArray[np.float32],
        neighbours: Neighbours,
        common: dict[str, Any],
    ) -> torch.Tensor:
        """Neighbours of all slots in one call, added to their objects slot by slot."""
        scale = self.survey.camera.pixel_scale
        out = torch.zeros((*true.shape, common["size"], common["size"]), device=self._device)
        slot, row = np.nonzero(np.isfinite(neighbours.mag[:, :, 0]).T)
        if not len(row):
            return out
        mag = np.take_along_axis(neighbours.mag[row, slot], true.band[row].astype(np.intp), axis=1)
        centre = place[row] + neighbours.offset[row, slot, None] / scale
        blur = np.broadcast_to(neighbours.blur[row, slot, None] / scale, (len(row), true.shape[1]))
        light = render(self._basis, weights[row], counts(mag, true.take(row)), centre, turn[row], blur=blur, **common)
        for number in np.unique(slot):  # within a slot no object comes twice: the sum does not depend on any order
            chosen = np.flatnonzero(slot == number)
            out[torch.from_numpy(row[chosen]).to(out.device)] += light[torch.from_numpy(chosen).to(out.device)]
        return out

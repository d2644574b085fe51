"""A CCD: photon noise, read noise, saturation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from skyreel.exposures import Exposures
from skyreel.interfaces import Detector, Effect, PixelBits

Images = tuple[torch.Tensor, torch.Tensor]


def _per_frame(column: NDArray[np.floating], like: torch.Tensor) -> torch.Tensor:
    """A column (n, T) of the exposures, to be combined with pixels (n, T, C, H, W)."""
    return torch.as_tensor(column, dtype=like.dtype, device=like.device)[:, :, None, None, None]


class Poisson(Effect):
    """Photon noise: exact Poisson numbers of electrons."""

    stage: ClassVar[Literal["electrons"]] = "electrons"

    def apply(self, pixels: torch.Tensor, bits: torch.Tensor, exposures: Exposures, generator: torch.Generator) -> Images:
        """Draws the electrons of every pixel; expectations below 0 give none."""
        return torch.poisson(pixels.clamp(min=0), generator=generator), bits


class ReadNoise(Effect):
    """Normal noise of `exposures.read_noise` electrons."""

    stage: ClassVar[Literal["electrons"]] = "electrons"

    def apply(self, pixels: torch.Tensor, bits: torch.Tensor, exposures: Exposures, generator: torch.Generator) -> Images:
        """Adds the noise of the amplifier to every pixel."""
        noise = torch.randn(pixels.shape, generator=generator, dtype=pixels.dtype, device=pixels.device)
        return pixels + noise * _per_frame(exposures.read_noise, pixels), bits


class Saturation(Effect):
    """Clips at `exposures.saturation` ADU and marks such pixels."""

    stage: ClassVar[Literal["adu"]] = "adu"

    def apply(self, pixels: torch.Tensor, bits: torch.Tensor, exposures: Exposures, generator: torch.Generator) -> Images:
        """Clips and sets PixelBits.SATURATED."""
        ceiling = _per_frame(exposures.saturation, pixels)
        full = pixels >= ceiling
        return torch.minimum(pixels, ceiling), torch.where(full, bits | PixelBits.SATURATED, bits)


@dataclass
class CCD(Detector):
    """Photon noise, read noise and saturation; gain, read noise [electron] and saturation [ADU] come with the exposures.

    Parameters
    ----------
    photon_noise : bool
        Poisson noise of source and sky.
    read_noise : bool
        Normal noise of the amplifier.
    saturation : bool
        Clip bright pixels and mark them.
    """

    photon_noise: bool = True
    read_noise: bool = True
    saturation: bool = True

    def effects(self) -> Sequence[Effect]:
        """The effects that are switched on, in order."""
        chosen = [(self.photon_noise, Poisson()), (self.read_noise, ReadNoise()), (self.saturation, Saturation())]
        return [effect for on, effect in chosen if on]

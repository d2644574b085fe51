"""Walks a detector's effects: from expected ADU to whole numbers of ADU."""

from __future__ import annotations

import numpy as np
import torch

from skyreel.errors import DataError, PluginError
from skyreel.exposures import Exposures
from skyreel.interfaces import Detector

STAGES = ("scene", "electrons", "adu")
"""Order of the stages; pixels are in ADU, electrons and ADU."""


def expose(scene: torch.Tensor, exposures: Exposures, detector: Detector, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """What the detector makes of a scene.

    Parameters
    ----------
    scene : float tensor (n, T, C, H, W)
        Expected counts with sky [ADU].
    exposures : Exposures, (n, T)
        Gain, read noise and saturation. Frames that do not exist are exposed with a gain of 1.
    detector : Detector
    generator : torch.Generator
        The only source of randomness, on the scene's device.

    Returns
    -------
    pixels : tensor like `scene`
        Whole numbers of ADU.
    bits : uint8 tensor like `scene`
        `PixelBits`.

    Raises
    ------
    DataError
        If scene and exposures differ in shape.
    PluginError
        If the detector's effects are not in the order of the stages.
    """
    if scene.ndim != 5 or tuple(scene.shape[:2]) != exposures.shape:
        raise DataError("expose: scene", f"shape {tuple(scene.shape)}", f"expected (objects, epochs, channels, y, x) for {exposures.shape}")
    who = f"detector {type(detector).__name__}"
    effects = list(detector.effects())
    for effect in effects:
        if getattr(effect, "stage", None) not in STAGES:
            raise PluginError(f"{who}: effect {type(effect).__name__}", "no known stage", f"set stage to one of {', '.join(STAGES)}")
    order = [STAGES.index(effect.stage) for effect in effects]
    if order != sorted(order):
        found = ", ".join(f"{type(effect).__name__} ({effect.stage})" for effect in effects)
        raise PluginError(f"{who}: effects", found, f"list them in the order {', '.join(STAGES)}")

    # Padding may hold any number, a gain of 0 included.
    exposures = exposures.replace(gain=np.where(exposures.mask, exposures.gain, 1))
    gain = torch.as_tensor(exposures.gain, dtype=scene.dtype, device=scene.device)[:, :, None, None, None]
    pixels, bits = scene, torch.zeros(scene.shape, dtype=torch.uint8, device=scene.device)
    for stage in STAGES:
        if stage == "electrons":
            pixels = pixels * gain
        for effect in effects:
            if effect.stage == stage:
                pixels, bits = effect.apply(pixels, bits, exposures, generator)
        if stage == "electrons":
            pixels = pixels / gain
    return torch.round(pixels), bits

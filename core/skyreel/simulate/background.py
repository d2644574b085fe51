"""The sky behind a scene: its level in every pixel of every frame."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from skyreel.exposures import Exposures
from skyreel.simulate.scene import Scene


def sky_background(scene: Scene, rows: NDArray[np.intp], exposures: Exposures, size: int) -> torch.Tensor:
    """Expected counts of the sky [ADU], to be broadcast to (k, L, size, size).

    Parameters
    ----------
    scene : Scene
    rows : int (k,)
        Objects of the scene.
    exposures : Exposures, (k, L)
        Their true conditions.
    size : int
        Side of the stamps [px].
    """
    return torch.from_numpy(exposures.sky)[:, :, None, None]

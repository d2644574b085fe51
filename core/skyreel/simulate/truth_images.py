"""Photometry with everything known, as in section 3.3 of Carrasco-Davis et al. 2018: PSF, host and sky that made the image.

The noiseless pieces of a block are made again from its seeds; nothing of them is stored with the movies.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.light_curves import LightCurves, PhotometryOptions, calibrated, usable_pixels
from skyreel.movies import Movies
from skyreel.photometry.frames import Points, known_light
from skyreel.simulate.chain import Simulation, object_ids

CHUNK = 1024
"""Frames measured together: bounds memory."""
TRUE = PhotometryOptions(error_floor=0.0)
"""Nothing is uncertain but the noise: no error floor."""


@dataclass(frozen=True)
class TruthImages:
    """Expected light of n objects at T epochs of H x W px; 0 in frames that do not exist.

    Attributes
    ----------
    object_id : str (n,)
    psf : float32 (n, T, H, W)
        Source of unit flux (over the plane, not over the stamp) at its true centre, trail included.
    host : float32 (n, T, H, W), ADU
        Host and neighbours.
    sky : float32 (n, T), ADU / px
    """

    object_id: NDArray[np.str_]
    psf: NDArray[np.float32]
    host: NDArray[np.float32]
    sky: NDArray[np.float32]

    def take(self, objects: Any) -> TruthImages:
        """The chosen objects (indices, slice or boolean mask)."""
        return TruthImages(*(getattr(self, item.name)[objects] for item in fields(self)))


def truth_images(simulation: Simulation, split: str, label: str, number: int) -> TruthImages:
    """The pieces of which ``simulation.block(split, label, number)`` was made: expected counts are flux psf + host + sky.

    Parameters
    ----------
    simulation : Simulation
    split, label : str
    number : int
        As handed to `Simulation.block`.
    """
    scene = simulation.scene(split, label, number)
    size = simulation.stamp_size
    psf = np.zeros((*scene.true.shape, size, size), np.float32)
    host = np.zeros_like(psf)
    for light in simulation.imaging.shown(scene, scene.true.mask.astype(np.float32)):
        last = light.exposures.shape[1]
        valid = light.exposures.mask[:, :, None, None]
        psf[light.rows, :last] = np.where(valid, light.source.cpu().numpy(), 0)
        host[light.rows, :last] = np.where(valid, (light.host + light.neighbours).cpu().numpy(), 0)
    sky = np.where(scene.true.mask, scene.true.sky, 0).astype(np.float32)
    return TruthImages(object_ids(split, label, number), psf, host, sky)


def measure_true(movies: Movies, images: TruthImages, options: PhotometryOptions = TRUE) -> LightCurves:
    """Light curves with the PSF, host and sky that made the images, and weights from them.

    The optimal flux of `skyreel.photometry.psf_flux` with V = (sky + host + max(F, 0) P) / gain + (read_noise / gain)^2 +
    1/12, calibrated with the true zero point (eq. 1).

    Parameters
    ----------
    movies : Movies
        Of one block or some of its objects, with their truth.
    images : TruthImages
        Of the same objects in the same order.
    options : PhotometryOptions
        `iterations`, `error_floor` and `zero_point` are used.

    Returns
    -------
    LightCurves, (n, T)
        `centre` is the true one.

    Raises
    ------
    DataError
        For movies without truth, and images of other objects or of another shape.
    """
    if movies.truth is None:
        raise DataError("measure_true: movies", "no truth", "use simulated movies, or measure() for real ones")
    if not np.array_equal(movies.object_id, images.object_id):
        raise DataError("measure_true: images", "other objects than those of the movies", "take the same rows of one block")
    if movies.pixels[:, :, 0].shape != images.psf.shape:
        found = f"shape {images.psf.shape}, the movies have {movies.pixels.shape}"
        raise DataError("measure_true: images", found, "hand in the block's movies as they were made")
    true = movies.truth.exposures
    mask = movies.frame_mask & true.mask
    rows, epochs = np.nonzero(mask)
    parts = []
    for begin in range(0, max(len(rows), 1), CHUNK):
        at = (rows[begin : begin + CHUNK], epochs[begin : begin + CHUNK])
        counts, good, saturated = usable_pixels(movies, at)
        light = (images.psf[at], images.host[at], images.sky[at])
        centre = movies.truth.centre[at].astype(np.float64)
        parts.append(known_light(counts, good, saturated, *light, true.gain[at], true.read_noise[at], centre, options.iterations))
    return calibrated(movies, true, mask, Points.joined(parts), options)

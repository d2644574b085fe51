"""From dates and light curves to what falls on the detector: counts, centres, orientation, host galaxies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import SimulationError
from skyreel.exposures import Exposures
from skyreel.interfaces import Array, Host, LightCurve, Params, Source
from skyreel.seeding import Seeds
from skyreel.simulate.dates import Dates
from skyreel.simulate.neighbours import Neighbours
from skyreel.simulate.options import SimulationOptions


@dataclass(frozen=True)
class Galaxies:
    """The galaxies of one block.

    Attributes
    ----------
    present : bool (n,)
    params : Params
        One row per object, drawn for all (rows without a galaxy are unused).
    centre : (n, 2)
        Galaxy's centre relative to the source's nominal position [arcsec].
    mag : (n, B)
        In the survey's bands.
    """

    present: NDArray[np.bool_]
    params: Params
    centre: Array
    mag: Array


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
    centre : float32 (n, T, 2), px
        Position of the source relative to the central pixel's middle.
    cut : Cut
    trail : float32 (n, T, 2) or None, px
    hosts : Galaxies
    neighbours : Neighbours or None
    """

    seeds: Seeds
    dates: Dates
    params: Params
    true: Exposures
    flux: NDArray[np.float32]
    centre: NDArray[np.float32]
    cut: Cut
    trail: NDArray[np.float32] | None
    hosts: Galaxies
    neighbours: Neighbours | None = None


def true_conditions(reported: Exposures, options: SimulationOptions, seeds: Seeds) -> Exposures:
    """The conditions that render the image: the reported ones with errors of zero point, PSF width and sky.

    Exposure-wide errors are drawn per exposure_id, the rest per object (see `SimulationOptions`).
    """
    rng = seeds.rng("conditions")
    n, epochs = reported.shape
    ids = reported.exposure_id
    zero_point = reported.zero_point + options.zero_point_jitter * seeds.exposure_normal(ids, "zero_point")
    zero_point = zero_point + options.zero_point_scatter * rng.standard_normal((n, epochs))
    width = (1 + options.psf_width_jitter * seeds.exposure_normal(ids, "psf_width")) * (
        1 + options.psf_width_scatter * rng.standard_normal((n, 1))
    )
    sky = reported.sky * options.sky_level * (1 + options.sky_common * seeds.exposure_normal(ids, "sky"))
    sky = sky * (1 + options.sky_jitter * rng.standard_normal((n, epochs)))
    sky = sky * (1 + options.sky_offset * rng.standard_normal((n, 1)))
    width = width * (1 + options.psf_width_residual * rng.standard_normal((n, epochs)))
    return reported.replace(zero_point=zero_point, psf_fwhm=reported.psf_fwhm * np.clip(width, 0.5, 2.0), sky=np.maximum(sky, 0))


def counts(mag: Array, exposures: Exposures) -> NDArray[np.float32]:
    """Eq. 1 of the paper: ADU = T 10**(-0.4 (m - zero point)); 0 where the magnitude is +inf or the frame is masked."""
    mag = np.where(exposures.mask, mag, np.inf)
    return np.asarray(exposures.exptime * 10.0 ** (-0.4 * (mag - exposures.zero_point)), np.float32)


@dataclass(frozen=True)
class Cut:
    """How stamps are cut out of images.

    Attributes
    ----------
    place : float32 (n, T, 2)
        (x, y) of the source's nominal position from the central pixel's middle [px]; the cut moves everything in the stamp.
    registered : bool (n,)
        Objects whose images lie on a common grid.
    shift : float32 (n, T, 2)
        (x, y) of that grid on the frame's own [px]; 0 for all others.
    """

    place: NDArray[np.float32]
    registered: NDArray[np.bool_]
    shift: NDArray[np.float32]


def cuts(shape: tuple[int, int], options: SimulationOptions, rng: np.random.Generator) -> Cut:
    """Draws how the stamps of n objects at T epochs, `shape`, are cut."""
    n, epochs = shape
    per_frame = rng.uniform(-0.5, 0.5, (n, epochs, 2))
    per_object = np.broadcast_to(rng.uniform(-0.5, 0.5, (n, 1, 2)), (n, epochs, 2))
    registered = rng.random(n) < {"per_frame": 0.0, "per_object": 1.0, "both": 0.5}[options.centring]
    fixed = registered[:, None, None]
    place = np.where(fixed, per_object, per_frame + np.array(options.centre_offset))
    shift = np.where(fixed, per_frame, 0.0)
    return Cut(place.astype(np.float32), registered, shift.astype(np.float32))


def centres(curve: LightCurve, cut: Cut, scale: float) -> NDArray[np.float32]:
    """Position of the source (n, T, 2) = (x, y) relative to the central pixel's middle [px]: its own motion comes on top of the cut."""
    return cut.place if curve.offset is None else np.asarray(cut.place + curve.offset / scale, np.float32)


def recentred(curve: LightCurve, first_detection: NDArray[np.int32]) -> LightCurve:
    """The same light with the stamp's position at the source's place in its first alert, (n,) frames; -1 leaves it as it is."""
    if curve.offset is None:
        return curve
    frame = np.maximum(first_detection, 0)[:, None, None]
    there = np.take_along_axis(curve.offset, frame, axis=1)
    return replace(curve, offset=curve.offset - np.where(first_detection[:, None, None] >= 0, there, 0.0))


def trails(curve: LightCurve, scale: float) -> NDArray[np.float32] | None:
    """Trail vectors (n, T, 2) [px] along the direction of motion; None without trails."""
    if curve.trail is None or not np.any(curve.trail):
        return None
    direction = np.zeros((*curve.trail.shape, 2))
    if curve.offset is not None and curve.offset.shape[1] > 1:
        direction = np.gradient(curve.offset, axis=1)
    length = np.linalg.norm(direction, axis=2, keepdims=True)
    unit = np.divide(direction, length, out=np.zeros_like(direction), where=length > 0)
    unit[..., 0] = np.where(length[..., 0] > 0, unit[..., 0], 1.0)
    return np.asarray(unit * curve.trail[..., None] / scale, np.float32)


def galaxies(
    host: Host, source: Source, label: str, params: Params, bands: tuple[str, ...], half_stamp: float, seeds: Seeds, n: int
) -> Galaxies:
    """Draws which objects have a galaxy, the galaxies, and where they lie under the source.

    Parameters
    ----------
    half_stamp : float, arcsec
        Half the side of the stamp: chance alignments are uniform over it.
    """
    policy = source.host_policy
    rng = seeds.rng("host")
    present = rng.random(n) < policy.fraction
    redshift = None
    if policy.redshift is not None:
        if policy.redshift not in params:
            raise SimulationError(
                f"source {label!r}: host_policy.redshift {policy.redshift!r}",
                f"params hold {', '.join(sorted(params))}",
                "name one of these columns or None",
            )
        redshift = np.asarray(params[policy.redshift], np.float64)
    host_params = host.sample(n, rng, redshift)
    chance = rng.uniform(-half_stamp, half_stamp, (n, 2))
    light = -host.offsets(host_params, rng)
    centre = {"light": light, "chance": chance, "centre": np.zeros((n, 2))}[policy.offset]
    return Galaxies(present, host_params, centre, host.mag(host_params, bands))

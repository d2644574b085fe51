"""A generator of HiTS observing sequences: virtual fields of the 2015A season from fitted coefficients.

Every quantity of a visit (one round over the fields in one night and band) is level + slope * (order - 0.5) + scatter,
with the order of the field in the round from 0 to 1. The scatter has the pooled shape of the real residuals
and is partly common to all visits of a field. On top of it lie the physics: airmass from the field's position,
seeing growing with airmass**0.6, extinction, clouds, and a sky that brightens towards the ecliptic (with declination).
`fit_conditions` makes the coefficients.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from skyreel.exposures import Exposures
from skyreel.interfaces import Array
from skyreel.seeding import Seeds

QUANTITIES = ("hour", "seeing", "sky", "zero_point", "limiting_mag")
LATITUDE, LONGITUDE = -30.16966, -70.80653
"""Blanco telescope at Cerro Tololo [deg, east positive]."""
LOCAL_NOON = 0.697
"""Fraction of the MJD at mean solar noon on Cerro Tololo: 0.5 - LONGITUDE / 360. Nights are counted from noon to noon."""
SEEING_AIRMASS = 0.6
"""Kolmogorov turbulence: seeing grows with airmass**0.6 (Roddier 1981, Progress in Optics 19, 281)."""
NEIGHBOURS = 6
"""Real fields nearest in order, one of which lends its list of visits to a virtual field."""


@lru_cache(maxsize=1)
def coefficients() -> dict[str, Any]:
    """The fitted coefficients, as `fit_conditions` wrote them."""
    content: dict[str, Any] = json.loads(files("skyreel_hits").joinpath("conditions.json").read_text())
    return content


def night_of(mjd: Array) -> NDArray[np.int64]:
    """Number of the night, counted from local noon to local noon."""
    return np.floor(mjd - LOCAL_NOON).astype(np.int64)


def sec_z(mjd: Array, right_ascension: Array | float, declination: Array | float) -> Array:
    """Airmass sec z at Cerro Tololo; sidereal time of Meeus 1998, Astronomical Algorithms, eq. 12.4.

    Parameters
    ----------
    mjd : array, d
    right_ascension, declination : float or array, deg
    """
    sidereal = 280.46061837 + 360.98564736629 * (mjd - 51544.5) + LONGITUDE
    angle = np.radians(sidereal - right_ascension)
    latitude, dec = np.radians(LATITUDE), np.radians(declination)
    return np.asarray(1 / (np.sin(latitude) * np.sin(dec) + np.cos(latitude) * np.cos(dec) * np.cos(angle)), np.float64)


def _draws(root: int, n_fields: int, visits: int) -> dict[str, Array]:
    """Random numbers of all fields: each from its own shared generator, whatever the number of fields."""
    seeds = Seeds(root)
    uniform, normal, common = [], [], []
    for field in range(n_fields):
        rng = seeds.shared_rng(f"hits/field/{field}")
        uniform.append(rng.random(4 + 2 * visits))
        common.append(rng.standard_normal(len(QUANTITIES)))
        normal.append(rng.standard_normal((len(QUANTITIES), visits)))
    return {"uniform": np.array(uniform), "common": np.array(common), "normal": np.array(normal)}


def _scatter(name: str, draws: dict[str, Array], model: dict[str, Any]) -> Array:
    """Residuals (fields, visits): correlated normal scores through the pooled quantiles of the real residuals."""
    which = QUANTITIES.index(name)
    share = model["field_share"][name]
    score = np.sqrt(share) * draws["common"][:, which, None] + np.sqrt(1 - share) * draws["normal"][:, which]
    shape = np.array(model["shape"][name])
    standard = np.interp(ndtr(score), (np.arange(len(shape)) + 0.5) / len(shape), shape)
    return np.asarray(standard * np.array(model["visits"][f"{name}_scatter"]), np.float64)


def _made(order: Array, choice: Array, model: dict[str, Any]) -> NDArray[np.bool_]:
    """Which visits each field got (fields, visits): the list of a real field of similar order."""
    patterns = np.array([[mark == "1" for mark in row] for row in model["patterns"]])
    nearest = np.argsort(np.abs(order[:, None] - np.array(model["pattern_order"])), axis=1, kind="stable")[:, :NEIGHBOURS]
    row = np.take_along_axis(nearest, (choice * NEIGHBOURS).astype(np.intp)[:, None], axis=1)[:, 0]
    return np.asarray(patterns[row])


def _conditions(draws: dict[str, Array], model: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Time and weather of every possible visit, one (fields, visits) column of `Exposures` each."""
    visits = model["visits"]
    order, _, east, north = draws["uniform"][:, :4].T
    scatter = {name: _scatter(name, draws, model) for name in QUANTITIES}
    level = {
        name: np.array(visits[name]) + np.array(visits[f"{name}_slope"]) * (order[:, None] - 0.5) + scatter[name] for name in QUANTITIES
    }
    mjd = model["first_mjd"] + np.array(visits["night"]) + level["hour"] / 24
    start, drift, width = model["right_ascension"]
    right_ascension = start + drift * order + width * np.sqrt(12) * (east - 0.5)
    low, high = model["declination"]
    declination = (low + (high - low) * north)[:, None]
    airmass = sec_z(mjd, right_ascension[:, None], declination)

    chance, depth = np.split(draws["uniform"][:, 4:], 2, axis=1)
    cloud = np.where(chance < np.array(visits["cloud_fraction"]), -np.log1p(-depth) * np.array(visits["cloud_depth"]), 0.0)
    extinction, dark_sky = (np.array([model[name][band] for band in visits["band"]]) for name in ("extinction", "dark_sky"))
    sky = 10 ** (level["sky"] + model["sky_declination"] * declination)
    deviation = {**scatter, "zero_point": scatter["zero_point"] - cloud}
    return {
        "mjd": mjd,
        "exptime": np.broadcast_to(visits["exptime"], mjd.shape),
        "seeing": 10 ** level["seeing"] * airmass**SEEING_AIRMASS,
        "airmass": airmass,
        "sky": np.maximum(sky, dark_sky),
        "zero_point": level["zero_point"] - extinction * airmass - cloud,
        "limiting_mag": level["limiting_mag"] + sum(slope * deviation[name] for name, slope in model["limiting_mag_response"].items()),
    }


@lru_cache(maxsize=8)
def virtual_fields(root: int, n_fields: int, bands: tuple[str, ...]) -> Exposures:
    """Exposures of all virtual fields that were visited in `bands`, in time order.

    CCD columns and `psf_fwhm` are placeholders (0 or 1): they belong to an object and to the survey's options.

    Parameters
    ----------
    root : int
        Root seed; each field depends on it and on its own number alone.
    n_fields : int
    bands : tuple of str
        Filters among g, r, i; a field keeps the same exposures in g whichever others are asked for.
    """
    model = coefficients()
    names = model["visits"]["band"]
    draws = _draws(root, n_fields, len(names))
    columns = _conditions(draws, model)
    shape = columns["mjd"].shape
    band = np.array([bands.index(name) if name in bands else -1 for name in names])
    number = np.arange(n_fields)[:, None]
    placeholder = np.ones(shape, np.float32)
    table = Exposures(
        bands=bands,
        mask=_made(draws["uniform"][:, 0], draws["uniform"][:, 1], model) & (band >= 0),
        band=np.broadcast_to(np.maximum(band, 0), shape).astype(np.int8),
        exposure_id=number * 1000 + np.arange(shape[1]),
        field=np.broadcast_to(number, shape).astype(np.int32),
        ccd=np.zeros(shape, np.int16),
        psf_fwhm=placeholder,
        gain=placeholder,
        read_noise=placeholder,
        saturation=placeholder,
        **columns,
    )
    in_time = np.argsort(table.mjd, axis=1, kind="stable")
    table = table.gather(in_time, np.ones(shape, np.bool_))
    table = table.compact(table.mask)
    return table.take(table.mask.any(axis=1))

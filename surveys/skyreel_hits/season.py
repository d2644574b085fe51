"""A generator of HiTS observing sequences: virtual fields of the 2015A season from fitted coefficients.

A visit is one round over the fields in one night and band. A virtual field is a pointing somewhere in the tile of a real one, at
any place on the survey's path over the sky (its order along that path runs from 0 to 1). Each quantity of a visit wanders smoothly with the
order (the weather while the telescope goes round) and scatters about that. The scatter has the pooled shape of the
real residuals, is correlated between quantities and partly common to all visits of a field. On top of it lie the
physics: airmass from the position, seeing growing with airmass**0.6, extinction, clouds, twilight from the Sun's altitude, and a
limiting magnitude that follows from seeing, sky and zero point. `fit_conditions` makes the coefficients.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr

from skyreel.exposures import Exposures
from skyreel.interfaces import Array
from skyreel.seeding import Seeds
from skyreel_hits.season_sky import LOCAL_NOON, night_of, noise_depth, sec_z, sun_altitude, twilight

__all__ = ["LOCAL_NOON", "QUANTITIES", "coefficients", "generate", "hats", "night_of", "sec_z", "virtual_fields"]

QUANTITIES = ("seeing", "sky", "zero_point", "limiting_mag")
SEEING_AIRMASS = 0.6
"""Kolmogorov turbulence: seeing grows with airmass**0.6 (Roddier 1981, Progress in Optics 19, 281)."""

TILE = 2.0
"""Side [deg] of the square about a real pointing in which virtual ones lie: the spacing of the fields; DECam sees 2.2 deg."""
CLOUD_SHAPE = 2.0
"""Shape parameter of the gamma distribution of cloud depths: an exponential one reaches 8 mag, the season's deepest cloud is 2.4 mag."""


@lru_cache(maxsize=1)
def coefficients() -> dict[str, Any]:
    """The fitted coefficients, as `fit_conditions` wrote them."""
    content: dict[str, Any] = json.loads(files("skyreel_hits").joinpath("conditions.json").read_text())
    return content


def hats(order: Array, knots: int) -> Array:
    """Weights (n, knots) of linear interpolation between equally spaced knots on [0, 1] at `order` (n,)."""
    return np.asarray(np.maximum(0, 1 - np.abs(order[:, None] - np.linspace(0, 1, knots)) * (knots - 1)), np.float64)


def _draws(root: int, n_fields: int, visits: int) -> dict[str, Array]:
    """Random numbers of all fields: each from its own shared generator, whatever the number of fields."""
    seeds = Seeds(root)
    uniform, normal, common = [], [], []
    for field in range(n_fields):
        rng = seeds.shared_rng(f"hits/field/{field}")
        uniform.append(rng.random(4 + 2 * visits))
        common.append(rng.standard_normal(len(QUANTITIES)))
        normal.append(rng.standard_normal((visits, len(QUANTITIES))))
    return {"uniform": np.array(uniform), "common": np.array(common), "normal": np.array(normal)}


def _scatter(draws: dict[str, Array], model: dict[str, Any]) -> dict[str, Array]:
    """Residuals (fields, visits): correlated normal scores through the pooled quantiles of the real residuals."""
    mix = np.linalg.cholesky(np.array(model["correlation"])).T
    share = np.array([model["field_share"][name] for name in QUANTITIES])
    score = ndtr(np.sqrt(share) * (draws["common"] @ mix)[:, None] + np.sqrt(1 - share) * (draws["normal"] @ mix))
    out = {}
    for which, name in enumerate(QUANTITIES):
        shape = np.array(model["shape"][name])
        standard = np.interp(score[..., which], (np.arange(len(shape)) + 0.5) / len(shape), shape)
        out[name] = standard * np.array(model["visits"][f"{name}_scatter"])
    return out


def _tile(draws: dict[str, Array], known: dict[str, Any]) -> NDArray[np.intp]:
    """Real field (fields,) whose tile and list of visits a virtual field takes: the one before or behind it, the nearer one rather."""
    place = np.interp(draws["uniform"][:, 0], known["order"], np.arange(len(known["order"])))
    before = np.minimum(place.astype(np.intp), len(known["order"]) - 2)
    return np.asarray(before + (draws["uniform"][:, 1] < place - before))


def _clouds(order: Array, draws: dict[str, Array], model: dict[str, Any]) -> Array:
    """Loss of zero point [mag] (fields, visits): gamma-distributed depths where the visit's share of cloud says so."""
    visits = model["visits"]
    chance, depth = np.split(draws["uniform"][:, 4:], 2, axis=1)
    share, mean = (np.maximum(hats(order, 2) @ np.array(visits[name]).T, 0) for name in ("cloud_fraction", "cloud_depth"))
    return np.where(chance < share, gammaincinv(CLOUD_SHAPE, depth) / CLOUD_SHAPE * mean, 0.0)


def _conditions(draws: dict[str, Array], tile: NDArray[np.intp], model: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Time and weather of every possible visit, one (fields, visits) column of `Exposures` each."""
    visits, known = model["visits"], model["fields"]
    order, _, east, north = draws["uniform"][:, :4].T
    hour = np.stack([np.interp(order, known["order"], hours) for hours in visits["hour"]], axis=1)
    mjd = model["first_mjd"] + np.array(visits["night"]) + hour / 24
    declination = np.array(known["declination"])[tile, None] + TILE * (north[:, None] - 0.5)
    right_ascension = np.array(known["right_ascension"])[tile, None] + TILE * (east[:, None] - 0.5) / np.cos(np.radians(declination))
    airmass = sec_z(mjd, right_ascension, declination)
    exptime = np.broadcast_to(visits["exptime"], mjd.shape)

    scatter = _scatter(draws, model)
    level = {name: hats(order, len(visits[name][0])) @ np.array(visits[name]).T + scatter[name] for name in QUANTITIES}
    of_band = {name: np.array([model[name][band] for band in visits["band"]]) for name in ("extinction", "dark_sky", "twilight")}
    seeing = 10 ** level["seeing"] * airmass**SEEING_AIRMASS
    towards = model["sky_declination"] * declination + model["sky_airmass"] * np.log10(airmass)
    glow = twilight(sun_altitude(mjd), of_band["twilight"], model["twilight_slope"])
    sky = np.maximum(10 ** (level["sky"] + towards), of_band["dark_sky"]) + glow
    zero_point = level["zero_point"] - of_band["extinction"] * airmass + model["zero_point_declination"] * declination
    zero_point = zero_point - _clouds(order, draws, model)
    slope, offset = model["psf_width"]
    return {
        "mjd": mjd,
        "exptime": exptime,
        "seeing": seeing,
        "airmass": airmass,
        "sky": sky,
        "zero_point": zero_point,
        "limiting_mag": level["limiting_mag"] + noise_depth(slope * seeing + offset, sky, zero_point, exptime),
    }


def generate(model: dict[str, Any], root: int, n_fields: int, bands: tuple[str, ...]) -> Exposures:
    """Exposures of the virtual fields of a season with the coefficients `model`, as `fit_season.fit_season` returns them.

    See `virtual_fields`, which uses the shipped coefficients, for the other parameters.
    """
    names = model["visits"]["band"]
    draws = _draws(root, n_fields, len(names))
    tile = _tile(draws, model["fields"])
    columns = _conditions(draws, tile, model)
    made = np.array([[mark == "1" for mark in row] for row in model["fields"]["visits"]])[tile]
    shape = columns["mjd"].shape
    band = np.array([bands.index(name) if name in bands else -1 for name in names])
    number = np.arange(n_fields)[:, None]
    placeholder = np.ones(shape, np.float32)
    table = Exposures(
        bands=bands,
        mask=made & (band >= 0),
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
    return generate(coefficients(), root, n_fields, bands)

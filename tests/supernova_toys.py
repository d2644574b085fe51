"""Single supernovae with chosen parameters, and their magnitudes in one band."""

from __future__ import annotations

import numpy as np

from skyreel_sources import snii
from skyreel_sources.cosmology import distance_modulus
from skyreel_sources.supernova import Supernova

BANDS = "ugrizy"


def params(kind, redshift, **columns):
    """A table of supernovae of one type that explode at MJD 0, without dust; other columns as given or typical."""
    redshift = np.atleast_1d(np.asarray(redshift, float))
    n = len(redshift)
    typical = {"host_av": 0.0, "stretch": 1.0, "colour": 0.0, "abs_mag": -19.36 if kind == 0 else -16.74}
    typical |= {"rise_time": snii.RISE, "second_rise": 0.0, "second_time": 18.0, "decline_1": 2.65, "decline_2": 1.27}
    typical |= {"plateau_end": 83.7, "plateau_drop": 2.0}
    table = {"type": np.full(n, kind, np.int8), "redshift": redshift, "explosion_mjd": np.zeros(n)}
    return table | {name: np.broadcast_to(np.asarray(columns.get(name, value), float), n).copy() for name, value in typical.items()}


def magnitudes(table, days, band):
    """Apparent magnitudes (n, T) in one band at observer's days (T,) or (n, T)."""
    mjd = np.broadcast_to(np.asarray(days, float), (len(table["redshift"]), np.shape(days)[-1]))
    return Supernova().light_curve(table, mjd, np.full(mjd.shape, BANDS.index(band), np.int8)).mag


def absolute(table, days, band):
    """The same without the distance modulus."""
    return magnitudes(table, days, band) - distance_modulus(table["redshift"])[:, None]


def population(n, slow, seed=0, redshift=1e-6):
    """n SNe II of the whole population, without dust."""
    rng = np.random.default_rng(seed)
    return params(1, np.full(n, redshift), abs_mag=rng.normal(snii.PEAK, snii.SPREAD, n)) | snii.shape(n, rng, slow)

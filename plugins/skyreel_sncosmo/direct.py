"""Light curves object by object with sncosmo's own integration, for sources whose shape has parameters of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from skyreel.interfaces import Array, Params
from skyreel_sncosmo import library
from skyreel_sncosmo.tables import Recipe, photons


def flux(recipe: Recipe, filter_name: str, varying: tuple[str, ...], params: Params, phase: Array) -> Array:
    """Flux of n objects of amplitude 1 at distance modulus 0, as a fraction of that of 0 mag (AB).

    Parameters
    ----------
    recipe : Recipe
    filter_name : str
        See `library.curve`.
    varying : tuple of str
        Parameters of the source that are columns of `params`.
    params : Params
        With ``redshift`` and ``host_ebv`` besides.
    phase : (n, T)
        Rest-frame days within the model.

    Returns
    -------
    (n, T)
    """
    source = recipe.source()
    wave, weight = photons(library.curve(filter_name), recipe)
    extinction = library.dust(recipe.dust_law, recipe.host_r_v)
    out = np.empty(phase.shape)
    for row in range(len(phase)):
        stretch = 1.0 + params["redshift"][row]
        rest = wave / stretch
        source.set(**{name: params[name][row] for name in varying})
        through = weight / stretch * 10.0 ** (-0.4 * params["host_ebv"][row] * extinction(rest))
        out[row] = (_spectra(source, phase[row], rest) * through).sum(axis=1)  # BLAS would round by the number of epochs
    return out


def peak_mag(recipe: Recipe, filter_name: str, varying: tuple[str, ...], params: Params) -> Array:
    """Brightest magnitude (n,) of objects of amplitude 1 at redshift 0, without dust."""
    source, band = recipe.source(), library.curve(filter_name)
    out = np.empty(len(params["redshift"]))
    for row in range(len(out)):
        source.set(**{name: params[name][row] for name in varying})
        out[row] = source.peakmag(band, "ab")
    return out


def phase_range(recipe: Recipe, varying: tuple[str, ...], params: Params) -> tuple[Array, Array]:
    """First and last rest-frame phase (n,) of each object [d]."""
    source = recipe.source()
    out = np.empty((len(params["redshift"]), 2))
    for row in range(len(out)):
        source.set(**{name: params[name][row] for name in varying})
        out[row] = source.minphase(), source.maxphase()
    return out[:, 0], out[:, 1]


def _spectra(source: Any, phase: Array, rest: Array) -> Array:
    """Flux density (phase, rest); sncosmo wants phases in order."""
    order = np.argsort(phase)
    return np.asarray(source.flux(phase[order], rest)[np.argsort(order)], np.float64)

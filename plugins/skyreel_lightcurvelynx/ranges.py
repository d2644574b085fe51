"""Between which dates and wavelengths a model of LightCurveLynx is defined: beyond them it would warn and go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.interfaces import Array
from skyreel_lightcurvelynx.graph import Graph


@dataclass(frozen=True)
class Range:
    """First and last date of an object's light at its T epochs, (T,) [MJD]; -inf and +inf without limits."""

    first: Array
    last: Array


def model_range(graph: Graph, state: Any, passbands: Any, names: NDArray[np.str_], any_wave: bool, any_time: bool) -> Range:
    """Dates of one object.

    Parameters
    ----------
    graph : Graph
    state : lightcurvelynx GraphState
        Of one object.
    passbands : lightcurvelynx PassbandGroup
    names : str (T,)
        Bands of the epochs.
    any_wave, any_time : bool
        The model extrapolates by itself: no limits.

    Raises
    ------
    DataError
        Where a band leaves the model's spectrum.
    """
    from lightcurvelynx.models.physical_model import BandfluxModel

    first, last = np.full(len(names), -np.inf), np.full(len(names), np.inf)
    alone = len(graph.parts) == 1  # members of a sum end each for itself, in LightCurveLynx
    for part in graph.parts if not alone else (graph.model,):
        by_band = isinstance(part, BandfluxModel)
        stretch = 1.0 + _redshift(part, state)
        if not by_band and not any_wave:
            _check_wavelengths(part, state, passbands, names, stretch)
        if alone and not any_time:
            t0 = part.get_param(state, "t0") or 0.0
            for name in np.unique(names):
                asked = {"graph_state": state, "filter": name} if by_band else {"graph_state": state}
                low, high = part.minphase(**asked), part.maxphase(**asked)
                here = names == name
                first[here] = -np.inf if low is None else t0 + low * stretch
                last[here] = np.inf if high is None else t0 + high * stretch
    return Range(first, last)


def _redshift(part: Any, state: Any) -> float:
    return float(part.get_param(state, "redshift") or 0.0) if getattr(part, "apply_redshift", False) else 0.0


def _check_wavelengths(part: Any, state: Any, passbands: Any, names: NDArray[np.str_], stretch: float) -> None:
    low, high = part.minwave(graph_state=state), part.maxwave(graph_state=state)
    for name in np.unique(names):
        waves = passbands[str(name)].waves
        if (low is not None and waves[0] / stretch < low) or (high is not None and waves[-1] / stretch > high):
            raise DataError(
                f"band {name} ({waves[0]:.0f} to {waves[-1]:.0f} angstrom) at redshift {stretch - 1.0:.3f}",
                f"{type(part).__name__} is defined from {low:.0f} to {high:.0f} angstrom in its rest frame",
                "choose redder or bluer bands, other redshifts, or give parameters.wave_extrapolation",
            )

"""Simulated counterparts of real objects: twins under the same conditions, through a PSF measured on stars of other fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError, PluginError
from skyreel.evaluate.realism_samples import RealObjects, field_folds
from skyreel.interfaces import PSF
from skyreel.movies import Movies
from skyreel.simulate.chain import Simulation
from skyreel.simulate.twins import twin

UNMEASURED = "psf not measured on these stars"


@dataclass(frozen=True)
class Fitted:
    """A simulation for some of the real objects.

    Attributes
    ----------
    name : str
        Which fields the objects lie in.
    scored : int (k,)
        Rows of the real objects.
    simulation : Simulation
    stars : str (m,)
        Names of the stars that its PSF was measured on; none where it was not.
    """

    name: str
    scored: NDArray[np.intp]
    simulation: Simulation
    stars: NDArray[np.str_]


def cross_fitted(simulation: Simulation, real: RealObjects, stars: Movies, tick: Callable[[int], None] | None = None) -> list[Fitted]:
    """The simulation with a PSF measured anew for the objects of each field, on the constant stars of the other fields.

    Parameters
    ----------
    simulation : Simulation
    real : RealObjects
    stars : Movies
        Constant stars; see `realism_samples.field_folds` for which are used where.
    tick : callable, optional
        Called with 1 for every PSF.

    Returns
    -------
    list of Fitted
        One with all objects, and no star, where the PSF is none that can be measured.

    Raises
    ------
    DataError
        If all stars lie in the field of an object.
    """
    whole = [as_composed(simulation, real)]
    if type(simulation.psf).fitted is PSF.fitted:
        return whole  # before any message about missing stars: such a PSF asks for none
    out = []
    for fold in field_folds(real.movies, stars):
        if not len(fold.library):
            raise DataError(
                f"realism.crossfit: a PSF for the objects of {fold.name}",
                "no constant star in any other field",
                "name a data set with stars of several fields, or set realism.crossfit=false",
            )
        library = stars.take(fold.library)
        try:
            psf = simulation.psf.fitted(library, simulation.survey.camera.pixel_scale)
        except PluginError:
            return whole
        out.append(Fitted(fold.name, fold.scored, replace(simulation, psf=psf), library.object_id))
        if tick is not None:
            tick(1)
    return out


def as_composed(simulation: Simulation, real: RealObjects) -> Fitted:
    """The simulation as it is for all objects."""
    return Fitted("all fields", np.arange(len(real)), simulation, np.array([], np.str_))


def twins(
    fitted: list[Fitted], real: RealObjects, label: str, registered: bool = False, tick: Callable[[int], None] | None = None
) -> Movies:
    """One simulated object under the conditions of every real one, of its mean magnitude; row k is the twin of object k.

    Parameters
    ----------
    fitted : list of Fitted
        The simulation of every object, as `cross_fitted` returns them.
    real : RealObjects
        With known magnitudes.
    label : str
        Class of the twins.
    registered : bool
        See `cut_like`.
    tick : callable, optional
        Called with 1 for every twin.
    """
    made: dict[int, Movies] = {}
    for part in fitted:
        simulation = cut_like(part.simulation, registered=registered)
        for k in part.scored.tolist():
            made[k] = twin(simulation, real.movies.reported.take([k]), label, float(real.mag[k]), name=str(real.movies.object_id[k]))
            if tick is not None:
                tick(1)
    return Movies.concatenate([made[k] for k in range(len(real))])


def cut_like(simulation: Simulation, *, registered: bool) -> Simulation:
    """The simulation with that half of its movies which is cut like the real ones, where it makes both kinds.

    Parameters
    ----------
    simulation : Simulation
    registered : bool
        True: on one grid for all frames (and resampled, if the simulation resamples); False: each frame cut at its nearest pixel.
    """
    if simulation.options.centring != "both":
        return simulation
    return replace(simulation, options=replace(simulation.options, centring="per_object" if registered else "per_frame"))

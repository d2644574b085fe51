"""A simulated twin of a real object: the same dates and conditions, the same brightness (appendix A of the paper)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skyreel.errors import ConfigError, DataError, SimulationError
from skyreel.exposures import Exposures
from skyreel.interfaces import Params
from skyreel.movies import Movies, Truth
from skyreel.seeding import Seeds
from skyreel.simulate.chain import Simulation, around, with_data
from skyreel.simulate.dates import Dates, observe, time_window
from skyreel.simulate.neighbours import draw
from skyreel.simulate.scene import Galaxies, Scene, centres, counts, cuts, trails, true_conditions

CENTRING = {False: "per_frame", True: "per_object"}


def twin(
    simulation: Simulation,
    conditions: Exposures,
    label: str,
    mag: float,
    *,
    name: str = "",
    n: int = 1,
    params: Params | None = None,
    registered: bool | None = None,
) -> Movies:
    """Movies of one class under the replayed conditions of one real object, without a galaxy.

    The class's light curve is shifted by a constant so that its median over the exposures is `mag`; a star of constant
    brightness is then as bright as the object in every exposure. Errors of the true conditions, centring, PSF shape and
    noise are drawn as in any simulated movie.

    Parameters
    ----------
    simulation : Simulation
    conditions : Exposures, (1, T)
        What was reported about the real object's exposures; masked ones are dropped.
    label : str
        Class of the twin, one of ``simulation.sources``.
    mag : float, mag
        Median apparent magnitude.
    name : str
        Name of the real object; draws depend on (simulation.seed, label, name) alone.
    n : int
        Twins that differ in all that is drawn.
    params : Params or None
        Parameters of the class, n rows; None draws them.
    registered : bool or None
        Whether the twins' images lie on a common grid, as those of real supernovae do; None: as ``simulation.centring`` says.

    Returns
    -------
    Movies
        n movies of as many frames as `conditions` has unmasked ones; `object_id` is ``twin-LABEL-NAME-0000000``.

    Raises
    ------
    ConfigError
        For a class that is not simulated.
    DataError
        For conditions of more than one object or without an exposure, or a magnitude that is not finite.
    BandError
        For a band that the class does not know.
    SimulationError
        If the class gives no light in any of the exposures.
    """
    if label not in simulation.sources:
        raise ConfigError(f"a twin of class {label!r}", f"simulated are {', '.join(simulation.sources)}", "add it to source")
    if not np.isfinite(mag):
        raise DataError(f"a twin of {name or 'an object'}", f"magnitude {mag}", "choose an object with a positive flux")
    reported = simulation.survey.replay(conditions, n)
    reported = reported.compact(reported.mask)
    reported.check(f"a twin of {name or 'an object'}")
    seeds = Seeds(simulation.seed, f"twin/{label}/{name}")
    source = simulation.sources[label]
    if params is None:
        params = source.sample(n, seeds.rng("params"), window=time_window(reported))
    true = true_conditions(reported, simulation.options, seeds)
    curve = observe(source, label, params, true)
    seen = np.where(true.mask & np.isfinite(curve.mag), curve.mag, np.nan)
    if not np.isfinite(seen).any(axis=1).all():
        raise SimulationError(f"a twin of class {label!r}", "no light in any of the exposures", "choose other params")
    curve = replace(curve, mag=curve.mag + (mag - np.nanmedian(seen, axis=1, keepdims=True)))
    scale = simulation.survey.camera.pixel_scale
    options = simulation.options if registered is None else replace(simulation.options, centring=CENTRING[registered])
    cut = cuts(reported.shape, options, seeds.rng("centre"))
    nothing = Galaxies(np.zeros(n, np.bool_), {}, np.zeros((n, 2)), np.full((n, len(simulation.survey.bands)), np.inf))
    dates = Dates(reported, np.full(n, -1, np.int32), params)
    half = (0.5 * simulation.stamp_size + 1) * scale
    neighbours = draw(n, simulation.survey.bands, half, options.neighbours, seeds)
    flux = counts(curve.mag, true)
    scene = Scene(seeds, dates, params, true, flux, centres(curve, cut, scale), cut, trails(curve, scale), nothing, neighbours)
    pixels, bits = simulation.imaging.images(scene)
    return Movies(
        pixels=pixels,
        pixel_mask=bits,
        frame_mask=reported.mask & with_data(bits),
        reported=reported,
        label=np.full(n, label),
        object_id=np.array([f"twin-{label}-{name}-{k:07d}" for k in range(n)]),
        first_detection=dates.first_detection,
        truth=Truth(true, scene.flux, scene.centre, nothing.present, {**params, **around(scene)}),
    )

"""Made-up samples for the tests of `skyreel realism`."""

from dataclasses import replace

import numpy as np

from skyreel.evaluate.realism_samples import RealObjects
from skyreel.hydra_glue import compose
from skyreel.movies import Movies
from skyreel.seeding import Seeds
from skyreel.simulate.run import build, simulation_config
from skyreel.simulate.twins import twin

EMPTY = ["detector=ccd", "simulation=paper", "psf=gaussian"]
SKY = {"sky": 120.0, "seeing": 1.3, "psf_fwhm": 4.0, "zero_point": 25.0, "gain": 4.0, "read_noise": 6.0}


def simulation_of(*overrides, source="[non_variable]", seed=0):
    """A simulation without errors of the conditions, unless overridden."""
    config = compose("simulate", ["output=x", f"source={source}", f"seed={seed}", *EMPTY, *overrides])
    return build(simulation_config(config))


def flat_conditions(simulation, epochs=8, **columns):
    """The same sky in every exposure of one object."""
    conditions = simulation.survey.sample(1, Seeds(0, "test")).window(np.zeros(1, np.intp), epochs)
    values = {**SKY, **columns}
    return conditions.replace(**{name: np.full(conditions.shape, value, np.float32) for name, value in values.items()})


def constant_stars(n, *overrides, mag=18.0, epochs=8, seed=0, name="a", **columns) -> Movies:
    """Stars on a flat sky under known conditions."""
    simulation = simulation_of(*overrides, seed=seed)
    return twin(simulation, flat_conditions(simulation, epochs, **columns), "non_variable", mag, name=name, n=n)


def in_fields(movies: Movies, field) -> Movies:
    """The same movies in other fields, (n,)."""
    wide = np.broadcast_to(np.asarray(field)[:, None], movies.reported.shape)
    return replace(movies, reported=movies.reported.replace(field=wide))


def real_of(movies: Movies, mag=18.0) -> RealObjects:
    """These movies as if they were real."""
    return RealObjects(movies, np.full(len(movies), mag), movies.reported)

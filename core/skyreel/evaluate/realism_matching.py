"""Simulated frames beside real ones whose light no one knows: drawn from the whole simulation, matched in brightness and conditions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from skyreel.errors import DataError
from skyreel.evaluate.realism_features import FRAME
from skyreel.exposures import Exposures
from skyreel.interfaces import Array, Survey
from skyreel.movies import Movies
from skyreel.seeding import Seeds
from skyreel.simulate.chain import Simulation

MATCHED = ("seeing", "sky", "flux")
"""What a real and a simulated frame are matched in: reported seeing, log10 of the reported sky, the feature `flux`."""


class Replayed(Survey):
    """Another survey that visits the position of one real object alone, under the conditions reported of it."""

    def __init__(self, survey: Survey, conditions: Exposures) -> None:
        self.survey = survey
        self.conditions = conditions.compact(conditions.mask)
        self.camera = survey.camera
        self.max_seeing = survey.max_seeing

    def sample(self, n: int, seeds: Seeds) -> Exposures:
        """The object's exposures, n times."""
        return self.survey.replay(self.conditions, n)

    def detect(self, exposures: Exposures, mags: Array, host: Array | None = None) -> NDArray[np.bool_]:
        """As the other survey does."""
        return self.survey.detect(exposures, mags, host)


def simulated_at(simulation: Simulation, conditions: Exposures, label: str, name: str) -> Movies:
    """A block of movies of a class at the position of one real object.

    Light curves, brightness and galaxies are drawn as in any simulated movie; only the exposures are the real ones.

    Parameters
    ----------
    simulation : Simulation
    conditions : Exposures, (1, T)
        What was reported about the real object's exposures.
    label : str
    name : str
        Of the real object; what is drawn depends on it, the class and the simulation alone.

    Raises
    ------
    SimulationError
        If (almost) no object of the class would be detected there.
    """
    return replace(simulation, survey=Replayed(simulation.survey, conditions)).block(f"realism/{name}", label, 0)


def matched_frames(real: Array, simulated: Array, scale: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of a real and a simulated frame, each frame once, that are together as alike as can be.

    Parameters
    ----------
    real, simulated : (m, K)
        What is matched, see `match_columns`.
    scale : (K,)
        Unit of the distance in each.

    Returns
    -------
    int (p,), int (p,)
        Rows of the frames that have a partner, both ascending, p = min(m_real, m_simulated).

    Raises
    ------
    DataError
        If either holds no frame.
    """
    if not len(real) or not len(simulated):
        raise DataError("realism: frames to match", f"{len(real)} real, {len(simulated)} simulated", "hand in some of both")
    first, second = linear_sum_assignment((((real[:, None] - simulated[None]) / scale) ** 2).sum(axis=2))
    return first, np.sort(second)


def match_columns(movies: Movies, values: Array) -> Array:
    """`MATCHED` of every usable frame (m, 3), in the order of `realism_features.frame_features`, whose `values` are handed in."""
    use = movies.frame_mask & movies.reported.mask
    seeing, sky = movies.reported.seeing[use], np.log10(np.maximum(movies.reported.sky[use], 1.0))
    return np.stack([seeing, sky, values[:, FRAME.index("flux")]], axis=1).astype(np.float64)


def only_frames(movies: Movies, chosen: NDArray[np.intp]) -> Movies:
    """The movies with all usable frames masked but the chosen ones (their numbers in row-major order), without empty movies."""
    mask = np.zeros(movies.frame_mask.shape, np.bool_)
    mask.flat[np.flatnonzero(movies.frame_mask & movies.reported.mask)[chosen]] = True
    return replace(movies, frame_mask=mask, reported=movies.reported.replace(mask=mask)).take(mask.any(axis=1))

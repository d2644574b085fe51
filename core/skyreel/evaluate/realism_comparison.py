"""Two samples that a judge is shown: real frames and their simulated counterparts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skyreel.evaluate.realism import LEVELS
from skyreel.evaluate.realism_features import frame_features
from skyreel.evaluate.realism_forest import Sample, separations
from skyreel.evaluate.realism_matching import MATCHED, match_columns, matched_frames, only_frames, simulated_at
from skyreel.evaluate.realism_samples import RealObjects, fields
from skyreel.evaluate.realism_twins import Fitted, cut_like
from skyreel.movies import Movies


@dataclass(frozen=True)
class Comparison:
    """Real and simulated frames.

    Attributes
    ----------
    sample : Sample
        Their features, real ones first.
    movies : (Movies, Movies)
        Real and simulated; their usable frames are the compared ones, in the order of `sample`.
    levels : tuple of str
        The `realism.LEVELS` that can be judged.
    balance : dict of str -> float
        Where frames were matched: how far each matched quantity still separates the samples (0.5: not at all).
    """

    sample: Sample
    movies: tuple[Movies, Movies]
    levels: tuple[str, ...]
    balance: dict[str, float]


def of_twins(real: Movies, simulated: Movies, pixel_scale: float) -> Comparison:
    """Real objects beside their twins, row by row.

    Parameters
    ----------
    real, simulated : Movies
    pixel_scale : float, arcsec / px
    """
    parts = []
    for movies in (real, simulated):
        values, rows = frame_features(movies, pixel_scale)
        parts.append((values, rows, fields(real)[rows]))
    return Comparison(Sample.of(*parts), (real, simulated), tuple(LEVELS), {})


def of_matched(
    fitted: Sequence[Fitted],
    real: RealObjects,
    label: str,
    registered: bool,
    pixel_scale: float,
    tick: Callable[[int], None] | None = None,
) -> Comparison:
    """Every frame of real objects beside the frame most like it of movies simulated at the object's position.

    Frames are picked one by one, so nothing can be said of whole objects. A simulated frame belongs to the real object that it
    is matched to: were the two of a pair on different sides of a judge, it would take each for the other's kind.

    Parameters
    ----------
    fitted : sequence of Fitted
    real : RealObjects
    label : str
    registered : bool
        See `realism_twins.cut_like`.
    pixel_scale : float, arcsec / px
    tick : callable, optional
        Called with 1 for every object.
    """
    simulation_of = {int(k): cut_like(part.simulation, registered=registered) for part in fitted for k in part.scored}
    values, rows = frame_features(real.movies, pixel_scale)
    target = match_columns(real.movies, values)
    scale = np.maximum(target.std(axis=0), 1e-9)
    kept, chosen, drawn_values, drawn_target = [], [], [], []
    for k in range(len(real)):
        pool = simulated_at(simulation_of[k], real.conditions.take([k]), label, str(real.movies.object_id[k]))
        own = np.flatnonzero(rows == k)
        pool_values, _ = frame_features(pool, pixel_scale)
        pool_target = match_columns(pool, pool_values)
        first, second = matched_frames(target[own], pool_target, scale)
        kept.append(own[first])
        chosen.append(only_frames(pool, second))
        drawn_values.append(pool_values[second])
        drawn_target.append(pool_target[second])
        if tick is not None:
            tick(1)
    keep, owner = np.concatenate(kept), np.repeat(np.arange(len(real)), [len(part) for part in drawn_values])
    field = fields(real.movies)
    sample = Sample.of((values[keep], rows[keep], field[rows[keep]]), (np.concatenate(drawn_values), owner, field[owner]))
    balance = separations(np.concatenate([target[keep], *drawn_target]), sample.real, MATCHED)
    return Comparison(sample, (only_frames(real.movies, keep), Movies.concatenate(chosen)), ("frame", "background"), balance)

"""How single stars depart from the average: patterns over the camera that exposures had, and what stars have of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyreel.exposures import Exposures
from skyreel.seeding import Seeds

Array = NDArray[np.float64]

SEEING_SPREAD = 0.1
"""Standard deviation of the logarithm of the seeing within which an exposure of the library may stand in for another."""

NIGHT_WEIGHT, EXPOSURE_WEIGHT = 1.5, 0.5
"""What the luck of a night and of an exposure (both Gumbel-distributed) count in that choice: patterns of one night have much in
common (lag-1 autocorrelation over the exposures of a field of HiTS 0.2 to 0.4)."""

SPELL = 0.25 / 24
"""Standard deviation [d] of the bell by which time counts: patterns of HiTS exposures of different fields agree fully for half an
hour (correlation of the two largest components 0.9 to 1.1 of their variance) and not at all from one hour on."""

SPELL_WEIGHT = 12.0
"""What simultaneity counts: more than any luck, so that an exposure takes the pattern of its own half hour if it was measured."""

TURNS = 8
"""Least squares of a table with gaps by turns: a table with a tenth of gaps is solved to 1e-8."""

CLIP = 6.0
"""Amplitudes are held within so many robust standard deviations: what lies beyond are blends and cosmic rays."""


@dataclass(frozen=True, eq=False)
class Departures:
    """Amplitudes of K shapes, and as last column the departure of the width's logarithm; all about 0.

    Attributes
    ----------
    seeing : (E,), arcsec
        Reported, of the measured exposures.
    mjd : (E,), d
    exposure_log_width : (E,)
        Logarithm of the adaptive width [px], mean of their stars.
    ccd : (C,)
        Numbers of the measured CCDs, increasing.
    pattern : (E, C, K + 1)
        What stars of one CCD share in one exposure.
    star : (N, K + 1)
        What a star has beyond that in all exposures.
    frame : (F, K + 1)
        The rest, frame by frame.
    """

    seeing: Array
    mjd: Array
    exposure_log_width: Array
    ccd: Array
    pattern: Array
    star: Array
    frame: Array

    def drawn(self, exposures: Exposures, seeds: Seeds) -> tuple[Array, Array]:
        """Amplitudes (n, T, K + 1), and the logarithm of the width (n, T) that the star had whose pattern was taken.

        Every exposure takes the pattern over the camera that a measured one had: one of the same half hour if there is one, else one of
        similar seeing (exposures of a night from few nights). A star takes the pattern's value on its CCD; for CCDs that were not
        measured others stand in.
        """
        rng = seeds.rng("psf_shape")
        own = self.star[rng.integers(0, len(self.star), len(exposures))]
        rest = self.frame[rng.integers(0, len(self.frame), exposures.shape)]
        donor = self._donors(exposures, seeds)
        shared = self.pattern[donor, self._ccds(exposures, seeds)]
        return np.asarray(shared + own[:, None] + rest), np.asarray(self.exposure_log_width[donor] + shared[..., -1])

    def _donors(self, exposures: Exposures, seeds: Seeds) -> NDArray[np.intp]:
        """Measured exposure (n, T) whose pattern each exposure takes, by likeness, the luck of the night and its own."""
        out = np.zeros(exposures.shape, np.intp)
        mask = exposures.mask
        ids, first, member = np.unique(exposures.exposure_id[mask], return_index=True, return_inverse=True)
        mjd, seeing = exposures.mjd[mask][first], exposures.seeing[mask][first]
        dark, night = np.unique(nights(mjd), return_inverse=True)
        known, of_night = np.unique(nights(self.mjd), return_inverse=True)
        score = -0.5 * ((np.log(np.maximum(seeing, 1e-3))[:, None] - np.log(self.seeing)) / SEEING_SPREAD) ** 2
        apart = (mjd[:, None] - self.mjd) / SPELL
        near = np.abs(apart) < 5
        score[near] += SPELL_WEIGHT * np.exp(-0.5 * apart[near] ** 2)
        score += NIGHT_WEIGHT * _luck(seeds, dark, "psf_night", len(known))[night][:, of_night]
        # One uniform number through the cumulated shares draws as the largest of scores with Gumbel luck would, in less time.
        share = np.cumsum(np.exp((score - score.max(axis=1, keepdims=True)) / EXPOSURE_WEIGHT), axis=1)
        wanted = seeds.exposure_uniform(ids, "psf_exposure") * share[:, -1]
        out[mask] = (share < wanted[:, None]).sum(axis=1)[member]
        return out

    def _ccds(self, exposures: Exposures, seeds: Seeds) -> NDArray[np.intp]:
        number = exposures.ccd.astype(np.int64)
        place = np.minimum(np.searchsorted(self.ccd, number), len(self.ccd) - 1)
        other = (len(self.ccd) * seeds.exposure_uniform(number, "psf_ccd")).astype(np.intp)
        return np.asarray(np.where(self.ccd[place] == number, place, other))


def nights(mjd: Array) -> NDArray[np.int64]:
    """Number of the night: days that begin at noon UT, which is day from the Americas to Europe."""
    return np.asarray(np.floor(np.asarray(mjd, np.float64) - 0.5), np.int64)


def _luck(seeds: Seeds, key: NDArray[np.int64], purpose: str, choices: int) -> Array:
    """Draws (m, choices) of the Gumbel distribution, equal for equal keys."""
    uniform = np.stack([seeds.exposure_uniform(key, f"{purpose}_{k}") for k in range(choices)], axis=1)
    return np.asarray(-np.log(-np.log(uniform)), np.float64)


@dataclass(frozen=True, eq=False)
class Measured:
    """Amplitudes of single frames, m of them; exposures and stars are numbered from 0.

    Attributes
    ----------
    amplitude : (m, K)
    noise : (m, K)
        Variance that photon noise gives them.
    exposure, ccd, star : int (m,)
    """

    amplitude: Array
    noise: Array
    exposure: NDArray[np.intp]
    ccd: NDArray[np.int64]
    star: NDArray[np.intp]


def split(seen: Measured, rich: NDArray[np.bool_]) -> tuple[Array, Array, Array, Array]:
    """Patterns, stars' own parts and the rest, by analysis of variance.

    Parameters
    ----------
    seen : Measured
    rich : bool (E,)
        Exposures that are kept.

    Returns
    -------
    numbers : (C,)
        Of the CCDs.
    pattern : (E', C, K)
        What an exposure and a CCD have on average, plus what the stars on this CCD of this exposure have beyond that, as far as it
        stands out of the noise (shrunk by the ratio of variances, James & Stein 1961).
    own, rest : (N, K), (F, K)
        Of stars on CCDs with several, so scaled that all parts together have the variance of the frames less that of the noise.
    """
    clean = clipped(seen.amplitude)
    numbers, column = np.unique(seen.ccd, return_inverse=True)
    cell = seen.exposure * len(numbers) + column
    cells = len(rich) * len(numbers)
    count = np.bincount(cell, minlength=cells)
    filled = (count > 0).reshape(len(rich), -1, 1)
    mean = grouped_means(clean, cell, cells)
    table = mean.reshape(*filled.shape[:2], -1)
    common, of_ccd = _two_way(table, filled)
    left = np.where(filled, table - common - of_ccd, 0.0)
    noise = (grouped_means(seen.noise, cell, cells) / np.maximum(count, 1)[:, None]).reshape(table.shape)
    true = np.maximum((left**2).sum(axis=(0, 1)) - (noise * filled).sum(axis=(0, 1)), 0.0) / filled.sum()
    table = common + of_ccd + left * true / np.maximum(true + noise, 1e-300)
    own, rest = _alone(seen, clean - mean[cell], count[cell])
    wanted = np.maximum(clean.var(axis=0) - seen.noise.mean(axis=0) - table[rich].var(axis=(0, 1)), 0.0)
    scale = np.sqrt(np.minimum(wanted / np.maximum(own.var(axis=0) + rest.var(axis=0), 1e-300), 1.0))
    return numbers.astype(np.float64), table[rich], own * scale, rest * scale


def _two_way(table: Array, filled: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Parts of exposures (E, 1, K) and of CCDs (C, K) that fit the filled cells of a table (E, C, K) best, by turns."""
    of_ccd = np.zeros(table.shape[1:])
    common = np.zeros((len(table), 1, table.shape[2]))
    for _ in range(TURNS):
        common = np.where(filled, table - of_ccd, 0.0).sum(axis=1, keepdims=True) / np.maximum(filled.sum(axis=1, keepdims=True), 1)
        of_ccd = np.where(filled, table - common, 0.0).sum(axis=0) / np.maximum(filled.sum(axis=0), 1)
    return common, of_ccd


def _alone(seen: Measured, left: Array, stars: NDArray[np.intp]) -> tuple[Array, Array]:
    """Means of stars and the rest, of the brighter half of those that share their CCD with others."""
    chosen = stars > 1
    chosen &= seen.noise[:, 0] <= np.median(seen.noise[chosen, 0]) if chosen.any() else False
    if not chosen.any():
        return np.zeros((1, left.shape[1])), np.zeros((1, left.shape[1]))
    several = stars[chosen][:, None].astype(np.float64)
    alone = left[chosen] * np.sqrt(several / (several - 1.0))
    _, owner, frames = np.unique(seen.star[chosen], return_inverse=True, return_counts=True)
    own = grouped_means(alone, owner, len(frames))
    return own, alone - own[owner]


def grouped_means(values: Array, group: NDArray[np.intp], groups: int) -> Array:
    """Means (groups, K) of the rows of each group; 0 for a group without rows."""
    count = np.maximum(np.bincount(group, minlength=groups), 1)
    return np.stack([np.bincount(group, column, groups) for column in values.T], axis=1) / count[:, None]


def clipped(values: Array, limit: float = CLIP) -> Array:
    """Columns (m, K) held within `limit` robust standard deviations of their medians."""
    middle = np.median(values, axis=0)
    sigma = 1.4826 * np.median(np.abs(values - middle), axis=0)
    return np.asarray(np.clip(values, middle - limit * sigma, middle + limit * sigma), np.float64)

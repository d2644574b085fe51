"""When a position of the wide-fast-deep survey is visited, in which band and through what sky."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LATITUDE = -30.2446
"""Cerro Pachon [deg]."""
NEW_MOON, SYNODIC_MONTH = 57071.991, 29.530589
"""A new moon (2015-02-18) [MJD] and the mean length of the cycle [d]."""
PAIRS = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]])
"""Bands of the two visits of a night: ug, gr, ri, iz, zy."""
PAIR_WEIGHT = np.array([56.0, 24.0, 160.0, 24.0, 136.0])
"""Nights with each pair in ten years: they add to the visits u56 g80 r184 i184 z160 of Ivezic et al. 2019, table 1, and 136
in y, where that table has 160."""
DARK_TIME = np.array([1.0, 1.0, 0.0, -1.0, -1.0])
"""Blue pairs are observed without the moon, red ones with it: weight * (1 + DARK_TIME * (1 - 2 * illumination))."""
MOONLIGHT = np.array([5.0, 2.6, 1.2, 0.8, 0.5, 0.3])
"""Brightening of the sky by a full moon [mag]: U, between B and V, R, I of Walker 1987 (NOAO Newsletter 10, 16);
z and y continue the trend."""


def illumination(mjd: Array) -> Array:
    """Lit fraction of the moon's disc."""
    return np.asarray(0.5 * (1 - np.cos(2 * np.pi * (mjd - NEW_MOON) / SYNODIC_MONTH)), np.float64)


def nights(n: int, season: float, revisit: float, weather_loss: float, rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
    """Nights (n, K) since the start on which each of n positions is visited, and which of them exist.

    Gaps are 1 + Poisson nights with mean `revisit` [d]; a share `weather_loss` of the nights is lost.
    """
    count = int(np.ceil(1.5 * season / revisit)) + 5
    gaps = 1 + rng.poisson(revisit - 1, (n, count))
    night = np.cumsum(gaps, axis=1) - gaps[:, :1] + rng.integers(0, int(np.ceil(revisit)), (n, 1))
    open_dome = rng.random((n, count)) >= weather_loss
    open_dome[:, 0] = True  # every position has at least one night
    return night.astype(np.float64), open_dome & (night < season)


def visits(night: Array, start: float, season: float, pair_gap: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Start [MJD] and airmass of both visits of each night, (n, K, 2) each.

    Positions lie between declination -65 and +5 deg, cross the meridian at midnight in the middle of the season and
    are observed within some hours of it.
    """
    declination = np.arcsin(rng.uniform(np.sin(np.radians(-65)), np.sin(np.radians(5)), (len(night), 1, 1)))
    first = np.clip(rng.normal(0, 1.8, night.shape), -4.0, 3.5)
    gap = pair_gap * rng.normal(1, 0.15, night.shape).clip(0.5, 1.5)
    hour_angle = np.stack([first, first + gap], axis=-1)
    transit = start + night - (night - 0.5 * season) / 365.25
    mjd = transit[..., None] + hour_angle / 24
    latitude = np.radians(LATITUDE)
    altitude = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(np.radians(15 * hour_angle))
    return mjd, 1 / altitude


def bands(moon: Array, rng: np.random.Generator) -> NDArray[np.int8]:
    """Band of both visits of each night, (n, K, 2), for the moon's illumination (n, K); indices into ugrizy."""
    weight = PAIR_WEIGHT * (1 + DARK_TIME * (1 - 2 * moon[..., None]))
    edge = np.cumsum(weight, axis=-1)
    pair = (rng.random((*moon.shape, 1)) * edge[..., -1:] >= edge).sum(axis=-1)
    return np.asarray(PAIRS[np.minimum(pair, len(PAIRS) - 1)], np.int8)


def sky_brightness(
    dark: Array, extinction: Array, band: NDArray[np.integer], moon: Array, airmass: Array, rng: np.random.Generator
) -> Array:
    """Sky [mag / arcsec^2], (n, T), from its value at the zenith without moon.

    Moonlight grows as illumination**1.7, a fit to the table of Walker 1987, while the moon is up: for as large a share of
    the night as its disc is lit. Airglow grows with the path through its layer and is dimmed by the air below
    (Krisciunas & Schaefer 1991, PASP 103, 1033, eqs. 2 and 3). Nights scatter by 0.12 mag.
    """
    path = (1 - 0.96 * (1 - airmass**-2)) ** -0.5
    glow = -2.5 * np.log10(path) + extinction * (path - 1)
    up = rng.random(moon.shape) < moon
    return np.asarray(dark + glow - up * MOONLIGHT[band] * moon**1.7 + rng.normal(0, 0.12, moon.shape), np.float64)

"""What else lies on a stamp: stars and galaxies of the field, by their number counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array
from skyreel.seeding import Seeds

BRIGHTEST, FAINTEST = 17.0, 25.0
"""Range of g [mag]; brighter ones are left out of samples of isolated objects, fainter ones add less than a tenth of the sky's
noise to a pixel."""

STARS, GALAXIES = (3.30, 0.12), (4.65, 0.36)
"""log10 of the number per square degree brighter than g = 20 (stars) and 24 (galaxies), and its rise per mag: high Galactic
latitude, as Bahcall & Soneira (1980, ApJS 44, 73) and Capak et al. (2007, ApJS 172, 99) have it [recalled]."""

SLOTS = 6
"""Neighbours kept per stamp: of 21 px at 0.27 arcsec fewer than 1 in 100,000 has more."""

SIZE = 0.5
"""Half-light radius of a galaxy of g = 24 [arcsec] [recalled]."""

COLOURS = {"u": 1.0, "g": 0.0, "r": -0.6, "i": -0.85, "z": -1.05, "y": -1.1}
"""AB magnitude less that in g of a typical faint galaxy or halo star [recalled]; other bands are taken as g."""


@dataclass(frozen=True)
class Neighbours:
    """Point-like or small neighbours of n objects, K slots each.

    Attributes
    ----------
    mag : (n, K, B)
        In the survey's bands; +inf where a slot is empty.
    offset : (n, K, 2)
        (x, y) from the source's nominal position [arcsec].
    blur : (n, K)
        Standard deviation of the Gaussian that stands for the galaxy's own extent [arcsec]; 0 for stars.
    """

    mag: Array
    offset: Array
    blur: Array

    @property
    def number(self) -> NDArray[np.int64]:
        """Neighbours of each object (n,)."""
        return np.asarray(np.isfinite(self.mag[:, :, 0]).sum(axis=1), np.int64)

    def take(self, objects: NDArray[np.intp]) -> Neighbours:
        """The chosen objects."""
        return Neighbours(self.mag[objects], self.offset[objects], self.blur[objects])


def cumulative(g: Array | float, law: tuple[float, float], at: float) -> Array:
    """Number per square degree brighter than `g` [mag]; `law` is the logarithm at `at` and its slope."""
    return np.asarray(10.0 ** (law[0] + law[1] * (np.asarray(g) - at)), np.float64)


def density() -> tuple[float, float]:
    """Stars and galaxies per square degree from `BRIGHTEST` to `FAINTEST`."""
    limits = np.array([BRIGHTEST, FAINTEST])
    stars, galaxies = (np.diff(cumulative(limits, law, at))[0] for law, at in ((STARS, 20.0), (GALAXIES, 24.0)))
    return float(stars), float(galaxies)


def radii(g: Array) -> Array:
    """Half-light radius [arcsec] of a galaxy: `SIZE` at g = 24, a fifth more per magnitude brighter (0.08 dex [recalled])."""
    return np.asarray(SIZE * 10.0 ** (-0.08 * (g - 24.0)), np.float64)


def draw(n: int, bands: tuple[str, ...], half: float, crowding: float, seeds: Seeds) -> Neighbours | None:
    """Neighbours of n objects, uniform over a square.

    Parameters
    ----------
    n : int
    bands : tuple of str
    half : float
        Half the side of the square [arcsec].
    crowding : float
        Multiplies the number counts; 0 gives None.
    seeds : Seeds
    """
    if not crowding:
        return None
    rng = seeds.rng("neighbours")
    stars, galaxies = (crowding * number * (2 * half / 3600.0) ** 2 for number in density())
    number = np.minimum(rng.poisson(stars + galaxies, n), SLOTS)
    present = np.arange(SLOTS) < number[:, None]
    is_star = rng.random((n, SLOTS)) < stars / (stars + galaxies)
    place = rng.random((n, SLOTS))
    mag = np.where(is_star, _drawn(place, STARS), _drawn(place, GALAXIES))
    offset = rng.uniform(-half, half, (n, SLOTS, 2))
    # A Gaussian of the same half-light radius: sigma = r50 / sqrt(2 ln 2).
    blur = np.where(is_star, 0.0, radii(mag) / np.sqrt(2 * np.log(2)))
    colour = np.array([COLOURS.get(band, 0.0) for band in bands])
    return Neighbours(np.where(present, mag, np.inf)[..., None] + colour, offset, blur)


def _drawn(place: Array, law: tuple[float, float]) -> Array:
    """Magnitudes whose counts rise by law[1] dex per mag, for uniform numbers `place`."""
    low, high = 10.0 ** (law[1] * (BRIGHTEST - FAINTEST)), 1.0
    return np.asarray(FAINTEST + np.log10(low + place * (high - low)) / law[1], np.float64)

"""Asteroids: a point (or short trail) of light at one epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, LightCurve, Params
from skyreel_sources.colours import relative_to_g
from skyreel_sources.epochs import by_band, check_epochs, check_positive
from skyreel_sources.magnitudes import StarLike

# Colours u-g, g-r, r-i, i-z of C and S types. g-r and r-i are the peaks a* = -0.10 and +0.13 of the principal colour
# a* = 0.89 (g-r) + 0.45 (r-i) - 0.57 (Ivezic et al. 2001, AJ 122, 2749); u-g and i-z are typical values.
COLOURS = relative_to_g(*np.array([[1.40, 0.47, 0.11, 0.04], [1.70, 0.69, 0.19, -0.03]]).T)
S_FRACTION = 0.6
"""S : C = 1.5 : 1 in a sample limited at r = 21.5 (Ivezic et al. 2001, abstract)."""

MIXER = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)


@dataclass
class Asteroid(StarLike):
    """Main-belt asteroids, in the stamp at one exposure only (section 3.1 of the paper).

    A main-belt asteroid near opposition (25-40 arcsec/h) crosses a 5.7 arcsec stamp in some ten minutes, less than the
    time between two exposures of a field. The light has the drawn magnitude at one epoch and none at the others.
    Params columns: ``mean_mag`` (g) [mag], ``type`` (0 C, 1 S), ``date`` [MJD], ``direction`` of motion [rad].
    Other options: see `StarLike`.

    Parameters
    ----------
    epoch : str
        Which epoch is lit. 'nearest': the one nearest to ``date``, so that epochs beside long gaps are lit more often.
        'uniform': every epoch equally often, as in the authors' simulator; the choice depends on ``date`` and the set
        of MJDs alone.
    trail_rate : float, arcsec / h
        Apparent motion; 0 gives a point without trail and displacement.
    exptime : float, s
        Exposure time that fixes the trail's length (HiTS: 86 s).

    Raises
    ------
    ConfigError
        For a negative rate, an exposure time that is not positive, an unknown choice of epoch; see also `StarLike`.
    """

    triggers: ClassVar[bool] = True

    epoch: str = "uniform"
    trail_rate: float = field(default=0.0, metadata={"unit": "arcsec / h"})
    exptime: float = field(default=86.0, metadata={"unit": "s"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("Asteroid", "exptime", self.exptime)
        if not self.trail_rate >= 0.0:
            raise ConfigError("Asteroid.trail_rate", str(self.trail_rate), "choose 0 or a positive number of arcsec / h")
        if self.epoch not in ("nearest", "uniform"):
            raise ConfigError("Asteroid.epoch", repr(self.epoch), "choose 'nearest' or 'uniform'")

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Magnitude, type, date and direction of n asteroids; the date is uniform over `window` (n, 2) [MJD]."""
        first, last = (-30.0, 30.0) if window is None else (window[:, 0], window[:, 1])
        return {
            "mean_mag": self.draw_mag(n, rng),
            "type": (rng.random(n) < S_FRACTION).astype(np.int8),
            "date": np.asarray(first + (np.asarray(last) - first) * rng.random(n), np.float64),
            "direction": rng.uniform(0.0, 2.0 * np.pi, n),
        }

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Light at one epoch per object; +inf mag at all others.

        Returns
        -------
        LightCurve
            With a `trail_rate`, `offset` is the displacement from the lit position and `trail` has length
            rate * exposure time at every epoch.
        """
        check_epochs("Asteroid", params, mjd, band, self.bands)
        apart = np.abs(mjd - params["date"][:, None]) if self.epoch == "nearest" else _priority(mjd, params["date"])
        lit = np.argmin(apart, axis=1)[:, None]
        here = by_band(params["mean_mag"][:, None] + COLOURS[params["type"].astype(np.intp)], np.take_along_axis(band, lit, axis=1))
        mag = np.full(mjd.shape, np.inf)
        np.put_along_axis(mag, lit, here, axis=1)
        if self.trail_rate == 0.0:
            return LightCurve(mag)
        moved = self.trail_rate * 24.0 * (mjd - np.take_along_axis(mjd, lit, axis=1))
        heading = np.stack([np.cos(params["direction"]), np.sin(params["direction"])], axis=-1)
        trail = np.full(mjd.shape, self.trail_rate * self.exptime / 3600.0)
        return LightCurve(mag, moved[:, :, None] * heading[:, None, :], trail)


def _priority(mjd: Array, date: Array) -> Array:
    """A number per (object, MJD) that looks random but depends on both values alone (mixer of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(mjd).view(np.uint64) * MIXER[0] ^ np.ascontiguousarray(date).view(np.uint64)[:, None]
        x = (x ^ (x >> np.uint64(30))) * MIXER[1]
        x = (x ^ (x >> np.uint64(27))) * MIXER[2]
        return np.asarray(x >> np.uint64(11), np.float64)

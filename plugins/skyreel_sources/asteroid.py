"""Asteroids: a point (or short trail) of light at one epoch, and slow movers that stay for several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, LightCurve, Params
from skyreel_sources.colours import relative_to_g
from skyreel_sources.epochs import check_epochs, check_fraction, check_positive
from skyreel_sources.magnitudes import StarLike

# Colours u-g, g-r, r-i, i-z of C and S types. g-r and r-i are the peaks a* = -0.10 and +0.13 of the principal colour
# a* = 0.89 (g-r) + 0.45 (r-i) - 0.57 (Ivezic et al. 2001, AJ 122, 2749); u-g and i-z are typical values [recalled].
COLOURS = relative_to_g(*np.array([[1.40, 0.47, 0.11, 0.04], [1.70, 0.69, 0.19, -0.03]]).T)
S_FRACTION = 0.6
"""S : C = 1.5 : 1 in a sample limited at r = 21.5 (Ivezic et al. 2001, abstract)."""

JUPITER = 5.2026
"""Semi-major axis of Jupiter [au]."""
MAIN_BELT = (JUPITER * 4.0 ** (-2.0 / 3.0), JUPITER * 2.0 ** (-2.0 / 3.0))
"""Ends of the main belt [au]: the 4:1 and 2:1 resonances with Jupiter, 2.06 and 3.28 by Kepler's third law."""

EARTH_RATE = 360.0 * 3600.0 / 365.25 / 24.0
"""Mean motion of the Earth [arcsec / h]."""

FASTEST = 150.0
"""Largest apparent motion [arcsec / h]: 3.6 arcsec within an exposure of 86 s, a trail that stays in its stamp."""

REACH = 30.0
"""Slow movers further from their stamp than this [arcsec] give no light: they are outside any stamp."""

MIXER = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)


def opposition_rate(axis: Array) -> Array:
    """Apparent motion at opposition [arcsec / h] on a circular orbit in the ecliptic with semi-major axis `axis` [au].

    Velocities fall as axis^(-1/2) and the distance is axis - 1, so that the rate is that of the Earth over axis + axis^(1/2).
    """
    return np.asarray(EARTH_RATE / (axis + np.sqrt(axis)), np.float64)


@dataclass
class Asteroid(StarLike):
    """Asteroids: in the stamp at one exposure only (section 3.1 of the paper), except for slow movers.

    At opposition a main-belt asteroid moves by 29 to 42 arcsec/h and crosses a 5.7 arcsec stamp in some ten minutes, less than
    the time between two exposures of a field: it has the drawn magnitude at one epoch and gives no light at the others. Slow movers
    (beyond Neptune: 1 to 4 arcsec/h) give light at every epoch within 30 arcsec of their place at that epoch, displaced by their
    motion; what leaves the stamp is not rendered. All have the same law of magnitudes, the colours of the main belt, and no rotation.
    Params columns: ``mean_mag`` (g) [mag], ``type`` (0 C, 1 S), ``date`` [MJD], ``direction`` of motion [rad],
    ``rate`` of motion [arcsec / h], ``slow`` (bool). Other options: see `StarLike`.

    Parameters
    ----------
    epoch : str
        Which epoch is lit. 'nearest': the one nearest to ``date``, so that epochs beside long gaps are lit more often.
        'uniform': every epoch equally often, as in the authors' simulator; the choice depends on ``date`` and the set
        of MJDs alone.
    trail_rate : float or None, arcsec / h
        Apparent motion in the main belt; 0 gives a point without trail and displacement, None draws the rate at opposition of
        a semi-major axis uniform over the main belt.
    exptime : float, s
        Exposure time that fixes the trail's length (HiTS: 86 s).
    slow_fraction : float
        Share of slow movers.
    slow_axis_min : float, au
        Smallest semi-major axis of slow movers; axes are uniform in the logarithm and fix the rate at opposition.
    slow_axis_max : float, au
        Largest one.

    Raises
    ------
    ConfigError
        For a rate that is negative or above 150 arcsec / h, an exposure time that is not positive, an unknown choice of epoch, a
        fraction outside 0..1, an empty range of axes or one that reaches into 5 au; see also `StarLike`.
    """

    triggers: ClassVar[bool] = True

    epoch: str = "uniform"
    trail_rate: float | None = field(default=0.0, metadata={"unit": "arcsec / h"})
    exptime: float = field(default=86.0, metadata={"unit": "s"})
    slow_fraction: float = 0.0
    slow_axis_min: float = field(default=30.0, metadata={"unit": "au"})
    slow_axis_max: float = field(default=100.0, metadata={"unit": "au"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("Asteroid", "exptime", self.exptime)
        check_fraction("Asteroid", "slow_fraction", self.slow_fraction)
        if self.trail_rate is not None and not 0.0 <= self.trail_rate <= FASTEST:
            raise ConfigError("Asteroid.trail_rate", str(self.trail_rate), f"choose 0 to {FASTEST:g} arcsec / h, or null")
        if self.epoch not in ("nearest", "uniform"):
            raise ConfigError("Asteroid.epoch", repr(self.epoch), "choose 'nearest' or 'uniform'")
        if not 5.0 < self.slow_axis_min < self.slow_axis_max < np.inf:
            found = f"{self.slow_axis_min}, {self.slow_axis_max}"
            raise ConfigError("Asteroid.slow_axis_min, slow_axis_max", found, "choose 5 au < slow_axis_min < slow_axis_max")

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Magnitude, type, date, direction and rate of n asteroids; the date is uniform over `window` (n, 2) [MJD]."""
        first, last = (-30.0, 30.0) if window is None else (window[:, 0], window[:, 1])
        params: Params = {
            "mean_mag": self.draw_mag(n, rng),
            "type": (rng.random(n) < S_FRACTION).astype(np.int8),
            "date": np.asarray(first + (np.asarray(last) - first) * rng.random(n), np.float64),
            "direction": rng.uniform(0.0, 2.0 * np.pi, n),
        }
        slow = rng.random(n) < self.slow_fraction
        belt = opposition_rate(rng.uniform(*MAIN_BELT, n)) if self.trail_rate is None else np.full(n, self.trail_rate)
        far = opposition_rate(np.exp(rng.uniform(np.log(self.slow_axis_min), np.log(self.slow_axis_max), n)))
        return params | {"rate": np.where(slow, far, belt), "slow": slow}

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Light at one epoch per asteroid, and near it for slow movers; +inf mag elsewhere.

        Returns
        -------
        LightCurve
            Where anything moves, `offset` is the displacement from the place at the lit epoch and `trail` has length
            rate * exposure time at every epoch.
        """
        check_epochs("Asteroid", params, mjd, band, self.bands)
        apart = np.abs(mjd - params["date"][:, None]) if self.epoch == "nearest" else _priority(mjd, params["date"])
        lit = np.argmin(apart, axis=1)[:, None]
        bright = np.arange(mjd.shape[1]) == lit
        rate = params["rate"][:, None]
        moved = rate * 24.0 * (mjd - np.take_along_axis(mjd, lit, axis=1)) if rate.any() else None
        if moved is not None:
            bright |= params["slow"][:, None] & (np.abs(moved) < REACH)
        mag = np.full(mjd.shape, np.inf)
        rows, epochs = np.nonzero(bright)
        mag[rows, epochs] = params["mean_mag"][rows] + COLOURS[params["type"][rows].astype(np.intp), band[rows, epochs]]
        if moved is None:
            return LightCurve(mag)
        heading = np.stack([np.cos(params["direction"]), np.sin(params["direction"])], axis=-1)
        trail = np.broadcast_to(rate * self.exptime / 3600.0, mjd.shape)
        return LightCurve(mag, moved[:, :, None] * heading[:, None, :], trail)


def _priority(mjd: Array, date: Array) -> Array:
    """A number per (object, MJD) that looks random but depends on both values alone (mixer of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(mjd).view(np.uint64) * MIXER[0] ^ np.ascontiguousarray(date).view(np.uint64)[:, None]
        x = (x ^ (x >> np.uint64(30))) * MIXER[1]
        x = (x ^ (x >> np.uint64(27))) * MIXER[2]
        return np.asarray(x >> np.uint64(11), np.float64)

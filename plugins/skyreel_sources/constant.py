"""Objects that do not change: stars of constant brightness, and galaxies without a point source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, HostPolicy, LightCurve, Params, Source
from skyreel_sources.colours import draw_field_star, stellar_locus
from skyreel_sources.epochs import by_band, check_epochs
from skyreel_sources.magnitudes import StarLike


@dataclass
class NonVariable(StarLike):
    """Stars of constant brightness, coloured like high-latitude field stars (Covey et al. 2007).

    Params columns: ``mean_mag`` (g) [mag], ``g_i`` colour [mag]. Options: see `StarLike`.
    """

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Magnitude and colour of n stars; `window` is ignored."""
        return {"mean_mag": self.draw_mag(n, rng), "g_i": draw_field_star(n, rng)}

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """The same magnitude at every epoch of a band, (n, T) [mag]."""
        check_epochs("NonVariable", params, mjd, band, self.bands)
        return LightCurve(by_band(params["mean_mag"][:, None] + stellar_locus(params["g_i"]), band))


@dataclass
class Galaxy(Source):
    """A galaxy without a point source: all light comes from the host.

    Params column: ``has_point_source`` (False).

    Parameters
    ----------
    offset : str
        'centre' puts the galaxy's centre on the stamp's centre; 'light' puts a point drawn from its light there, as
        the authors' simulator does.

    Raises
    ------
    ConfigError
        For another offset.
    """

    offset: str = "centre"

    def __post_init__(self) -> None:
        if self.offset not in ("centre", "light"):
            raise ConfigError("Galaxy.offset", repr(self.offset), "choose 'centre' or 'light'")

    @property
    def host_policy(self) -> HostPolicy:
        """A galaxy of any redshift in every stamp."""
        return HostPolicy(fraction=1.0, offset=cast(Literal["light", "centre"], self.offset))

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """A table of n rows; the galaxy itself is drawn by the host model."""
        return {"has_point_source": np.zeros(n, np.bool_)}

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """No light from a point source: +inf mag at every epoch, (n, T)."""
        check_epochs("Galaxy", params, mjd, band, self.bands)
        return LightCurve(np.full(mjd.shape, np.inf))

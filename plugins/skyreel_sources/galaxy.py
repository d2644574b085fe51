"""Galaxies without a point source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, HostPolicy, LightCurve, Params, Source
from skyreel_sources.epochs import check_epochs


@dataclass
class Galaxy(Source):
    """A galaxy without a point source: all light comes from the host model, in the bands that it knows (u to y).

    Which galaxies enter is an option of that model: `host=galsim` draws those of a field with g within host.mag_min..mag_max.

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

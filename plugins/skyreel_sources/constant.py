"""Stars that do not change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array, LightCurve, Params
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

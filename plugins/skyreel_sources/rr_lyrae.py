"""RR Lyrae stars of types ab and c, from the population or from the very stars of Sesar et al. 2010."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, LightCurve, Params
from skyreel_sources import rr_lyrae_components, rr_lyrae_stars
from skyreel_sources.epochs import check_epochs, check_fraction
from skyreel_sources.magnitudes import StarLike

TEMPLATES = ("embedded", "sesar2010")


@dataclass
class RRLyrae(StarLike):
    """RR Lyrae of types ab (78.5 %) and c (Sesar et al. 2010, ApJ 708, 717: 379 ab and 104 c in Stripe 82).

    'embedded' draws new stars from the smoothed sample: period and g amplitude, then the shape (principal components of
    ten Fourier harmonics) and the colours by their regressions on both, with the residuals of one of the stars. Curves
    of the other bands follow from the shape in g (mean error 0.02 of the g amplitude; 4 to 7 % scatter of the ratios of
    amplitudes is left out). Nothing is fitted to HiTS.
    'sesar2010' draws one of the 483 stars, as Carrasco-Davis et al. 2018 (Table 2) do: its period, its own curve and
    phase in each band and its colours free of extinction, at random phase.
    In both, y is set equal to z, and no Blazhko effect or second mode is modelled.
    Params columns: ``type`` (0 ab, 1 c), ``period`` [d], ``epoch`` of maximum in g [MJD], ``mean_mag`` (over phase, g)
    [mag], ``amplitude`` (g, peak to peak) [mag]; 'embedded' adds ``scale`` (g, factor of the curve) [mag], ``shape_1..4``,
    ``u_g``, ``r_g``, ``i_g``, ``z_g`` [mag]; 'sesar2010' adds ``star``, a row of `rr_lyrae_stars.Stars`.

    Parameters
    ----------
    mag_cut : float, mag
        As in `StarLike`; 21.5, brighter than for the other classes because distant RR Lyrae are rare (section 2.2 of
        Carrasco-Davis et al. 2018, after Medina et al. 2018).
    fraction_ab : float
        Share of type ab. With the default, every star of 'sesar2010' is equally likely to 0.2 %.
    templates : str
        'embedded' or 'sesar2010'; the latter needs ``skyreel data get sesar2010`` once.

    Raises
    ------
    ConfigError
        For unknown templates or a fraction outside 0..1; see also `StarLike`.
    """

    mag_cut: float = field(default=21.5, metadata={"unit": "mag"})
    fraction_ab: float = 0.785
    templates: str = "embedded"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("RRLyrae", "fraction_ab", self.fraction_ab)
        if self.templates not in TEMPLATES:
            raise ConfigError("RRLyrae.templates", repr(self.templates), f"choose one of {', '.join(TEMPLATES)}")

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Star, phase and magnitude of n objects; `window` is ignored.

        Raises
        ------
        DatasetError
            For 'sesar2010', if it was not downloaded.
        """
        kind = (rng.random(n) >= self.fraction_ab).astype(np.int8)
        stars = rr_lyrae_components if self.templates == "embedded" else rr_lyrae_stars
        params: Params = {"type": kind} | stars.draw(kind, rng)
        params["epoch"] = params["period"] * rng.random(n)
        params["mean_mag"] = self.draw_mag(n, rng)
        return params

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Magnitude (n, T) in any of the six bands.

        Raises
        ------
        DataError
            See `check_epochs`.
        DatasetError
            As in `sample`.
        """
        check_epochs("RRLyrae", params, mjd, band, self.bands)
        stars = rr_lyrae_components if self.templates == "embedded" else rr_lyrae_stars
        return LightCurve(stars.light_curve(params, mjd, band))

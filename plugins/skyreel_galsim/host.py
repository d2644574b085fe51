"""Host galaxies: exponential plus de Vaucouleurs light with sizes, shapes and colours of SDSS-like galaxies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import galsim
import numpy as np
from numpy.typing import NDArray

from skyreel.errors import BandError, ConfigError, DataError
from skyreel.interfaces import Host, Params
from skyreel_galsim.images import galaxy_image, profile

Array = NDArray[np.float64]

BANDS = ("u", "g", "r", "i", "z", "y")

R50_PER_SCALE = 1.6783469900166605
"""Half-light radius of an exponential disc in scale lengths: root of (1 + x) exp(-x) = 1/2."""

_COLOUR_REDSHIFTS = np.linspace(0, 1.5, 31)


@lru_cache(maxsize=1)
def _colours() -> Array:
    """AB colours band - g of a late (Scd) and an early (E) galaxy, (2, B, Z).

    SEDs of Coleman, Wu & Weedman (1980, ApJS 43, 393) through the LSST filters, both as GalSim ships them.
    """
    filters = [galsim.Bandpass(f"LSST_{band}.dat", "nm").withZeropoint("AB") for band in BANDS]
    out = np.empty((2, len(BANDS), len(_COLOUR_REDSHIFTS)))
    for k, name in enumerate(("CWW_Scd_ext.sed", "CWW_E_ext.sed")):
        rest = galsim.SED(name, wave_type="Ang", flux_type="flambda")
        for j, redshift in enumerate(_COLOUR_REDSHIFTS):
            sed = rest.atRedshift(float(redshift))
            mags = np.array([sed.calculateMagnitude(band) for band in filters])
            out[k, :, j] = mags - mags[BANDS.index("g")]
    return out


def colours(redshift: Array, frac_dev: Array) -> Array:
    """AB colours band - g (n, 6) in ugrizy of galaxies with the share `frac_dev` of their g light from old stars.

    Both components keep their own colours (`_colours`); beyond redshift 1.5 those at 1.5 are used.
    """
    table = _colours()
    late, early = (np.stack([np.interp(redshift, _COLOUR_REDSHIFTS, row) for row in kind], axis=-1) for kind in table)
    light = (1 - frac_dev)[:, None] * 10 ** (-0.4 * late) + frac_dev[:, None] * 10 ** (-0.4 * early)
    return np.asarray(-2.5 * np.log10(light), np.float64)


def physical_r50(abs_mag: Array, frac_dev: Array) -> tuple[Array, Array]:
    """Median half-light radius [kpc] and scatter of its natural logarithm for r-band absolute magnitudes (H0 = 70).

    Shen et al. (2003, MNRAS 343, 978), eq. 14-16 with table 1, figure 4: late types alpha 0.21, beta 0.53, gamma -1.31,
    M0 -20.52, early types a 0.60, b -4.63, dispersions 0.48 and 0.25. Mixtures take log R in proportion.
    """
    m0 = -20.52
    late = -0.4 * 0.21 * abs_mag + (0.53 - 0.21) * np.log10(1 + 10 ** (-0.4 * (abs_mag - m0))) - 1.31
    early = -0.4 * 0.60 * abs_mag - 4.63
    scatter = 0.25 + (0.48 - 0.25) / (1 + 10 ** (-0.8 * (abs_mag - m0)))
    return 10 ** ((1 - frac_dev) * late + frac_dev * early), scatter


@dataclass
class GalSimHost(Host):
    """Galaxies drawn by GalSim.

    Without a redshift, g magnitudes follow counts 10^(count_slope m), redshifts the Baugh & Efstathiou (1993, MNRAS 265,
    145) form z^2 exp(-(z/z0)^1.5) with a median of 0.1 at g = 18 that grows as 10^(0.15 g), and half-light radii
    log10 r50["] = log10 2.2 - 0.136 (r - 17.77) with `size_scatter` dex (estimates after SDSS). With a redshift, the
    r-band absolute magnitude is uniform over abs_mag_min..abs_mag_max (H0 = 70, Omega_m = 0.3, no K correction) and the
    size is that of Shen et al. (2003). Both components have the same half-light radius. Axis ratios are
    axis_ratio_min + (1 - axis_ratio_min) Beta(2, 1.2); position angles are uniform.

    Columns of its params: mag_g [mag], redshift, r50_exp and r50_dev (major axis) [arcsec], axis_ratio,
    position_angle [radian, from +x towards +y], frac_dev.

    Parameters
    ----------
    mag_min, mag_max : float, mag
        Range of g without a redshift.
    count_slope : float
        d log10 N / dm; 0.6 is a uniform Euclidean world.
    abs_mag_min, abs_mag_max : float, mag
        Range of M_r with a redshift.
    size_scatter : float, dex
    axis_ratio_min : float
    disc_fraction : float
        Share of galaxies that are pure exponentials.
    dev_fraction : float
        Share that are pure de Vaucouleurs; the rest mixes both in uniform proportion.
    """

    bands = BANDS

    mag_min: float = field(default=17.0, metadata={"unit": "mag"})
    mag_max: float = field(default=23.0, metadata={"unit": "mag"})
    count_slope: float = 0.4
    abs_mag_min: float = field(default=-22.0, metadata={"unit": "mag"})
    abs_mag_max: float = field(default=-19.0, metadata={"unit": "mag"})
    size_scatter: float = field(default=0.2, metadata={"unit": "dex"})
    axis_ratio_min: float = 0.2
    disc_fraction: float = 0.55
    dev_fraction: float = 0.25

    def __post_init__(self) -> None:
        for low, high in (("mag_min", "mag_max"), ("abs_mag_min", "abs_mag_max")):
            if not getattr(self, low) < getattr(self, high):
                raise ConfigError(f"host.{low}, {high}", f"{getattr(self, low)}, {getattr(self, high)}", "the first must be smaller")
        if not 0.05 <= self.axis_ratio_min <= 1:
            raise ConfigError("host.axis_ratio_min", str(self.axis_ratio_min), "it must lie in [0.05, 1]")
        if self.count_slope <= 0 or self.size_scatter < 0:
            raise ConfigError("host.count_slope, size_scatter", f"{self.count_slope}, {self.size_scatter}", "use positive values")
        if min(self.disc_fraction, self.dev_fraction) < 0 or self.disc_fraction + self.dev_fraction > 1:
            raise ConfigError(
                "host.disc_fraction, dev_fraction", f"{self.disc_fraction}, {self.dev_fraction}", "their sum may not exceed 1"
            )

    def sample(self, n: int, rng: np.random.Generator, redshift: Array | None = None) -> Params:
        """Parameters of n galaxies; `redshift` (n,) fixes their redshift where it is not NaN.

        Raises
        ------
        DataError
            For redshifts that are not positive.
        """
        z = np.full(n, np.nan) if redshift is None else np.asarray(redshift, np.float64)
        if (z <= 0).any():
            raise DataError("host: redshift", f"{z[z <= 0][0]}", "redshifts must be positive; NaN draws one")
        kind = rng.random(n)
        mixture = rng.random(n)
        frac_dev = np.where(kind < self.disc_fraction, 0.0, np.where(kind < self.disc_fraction + self.dev_fraction, 1.0, mixture))
        axis_ratio = self.axis_ratio_min + (1 - self.axis_ratio_min) * rng.beta(2, 1.2, n)
        angle = rng.uniform(0, np.pi, n)
        free = self._free(frac_dev, rng)
        tied = self._tied(np.where(np.isnan(z), 0.1, z), frac_dev, rng)
        mag, z, r50 = (np.where(np.isnan(z), a, b) for a, b in zip(free, tied, strict=True))
        return {
            "mag_g": mag,
            "redshift": z,
            "r50_exp": r50,
            "r50_dev": r50.copy(),
            "axis_ratio": axis_ratio,
            "position_angle": angle,
            "frac_dev": frac_dev,
        }

    def _free(self, frac_dev: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Magnitude, redshift and r50 ["] of galaxies of any redshift."""
        n = len(frac_dev)
        steps = 10 ** (self.count_slope * (np.array([self.mag_min, self.mag_max]) - self.mag_max))
        mag = self.mag_max + np.log10(rng.uniform(steps[0], steps[1], n)) / self.count_slope
        # (z / z0)^1.5 of the Baugh & Efstathiou form is Gamma(2); its median is 1.412 z0.
        z = 0.1 * 10 ** (0.15 * (mag - 18)) / 1.412 * rng.gamma(2, size=n) ** (2 / 3)
        r = mag + colours(z, frac_dev)[:, BANDS.index("r")]
        r50 = 2.2 * 10 ** (-0.136 * (r - 17.77) + self.size_scatter * rng.standard_normal(n))
        return mag, z, r50

    def _tied(self, redshift: Array, frac_dev: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Magnitude, redshift and r50 ["] of galaxies at given redshifts."""
        from astropy.cosmology import FlatLambdaCDM

        n = len(redshift)
        abs_mag = rng.uniform(self.abs_mag_min, self.abs_mag_max, n)
        distance = np.asarray(FlatLambdaCDM(70, 0.3).luminosity_distance(redshift).to_value("Mpc"))
        r = abs_mag + 5 * np.log10(distance) + 25
        median, scatter = physical_r50(abs_mag, frac_dev)
        kpc_per_arcsec = distance / (1 + redshift) ** 2 * 1e3 * np.pi / 180 / 3600
        r50 = median * np.exp(scatter * rng.standard_normal(n)) / kpc_per_arcsec
        return r - colours(redshift, frac_dev)[:, BANDS.index("r")], redshift, r50

    def mag(self, params: Params, bands: Sequence[str]) -> Array:
        """Total AB magnitude (n, B) in the named bands.

        Raises
        ------
        BandError
            For a band that is not in ugrizy.
        """
        unknown = [band for band in bands if band not in BANDS]
        if unknown:
            raise BandError(f"host galsim in band {unknown[0]!r}", f"it knows {', '.join(BANDS)}", "use these bands or another host")
        all_bands = params["mag_g"][:, None] + colours(params["redshift"], params["frac_dev"])
        return np.asarray(all_bands[:, [BANDS.index(band) for band in bands]], np.float64)

    def offsets(self, params: Params, rng: np.random.Generator) -> Array:
        """Positions (n, 2) ["] drawn from the exponential light: density x exp(-x) in scale lengths, on the galaxy's ellipse."""
        n = len(params["r50_exp"])
        radius = rng.gamma(2.0, size=n) * params["r50_exp"] / R50_PER_SCALE
        turn = rng.uniform(0, 2 * np.pi, n)
        major, minor = radius * np.cos(turn), radius * np.sin(turn) * params["axis_ratio"]
        cos, sin = np.cos(params["position_angle"]), np.sin(params["position_angle"])
        return np.stack([major * cos - minor * sin, major * sin + minor * cos], axis=-1)

    def image(self, params: Params, offset: Array, bands: Sequence[str], scale: float, size: int, oversample: int) -> NDArray[np.float32]:
        """Unconvolved galaxies with unit flux over the plane, (n, 1, M, M): the same shape in all bands.

        Cut at the Nyquist frequency of the sub-pixels: sharp cores ring by some 2 % of the peak until they are seen through
        a PSF. Light beyond the image is left out.
        """
        samples = size * oversample
        out = np.empty((len(offset), 1, samples, samples), np.float32)
        columns = ("r50_exp", "r50_dev", "frac_dev", "axis_ratio", "position_angle")
        for k, (r50_exp, r50_dev, frac_dev, axis_ratio, angle) in enumerate(zip(*(params[c] for c in columns), strict=True)):
            galaxy = profile(r50_exp / scale, r50_dev / scale, frac_dev, axis_ratio, angle)
            out[k, 0] = galaxy_image(galaxy, offset[k] / scale, size, oversample)
        return out

"""Host galaxies: exponential plus de Vaucouleurs light of galaxies drawn from the luminosity function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import BandError, ConfigError, DataError
from skyreel.interfaces import Host, Params
from skyreel_galsim.batch import Shapes, galaxy_images
from skyreel_galsim.colours import BANDS, colours
from skyreel_galsim.cosmology import MAX_REDSHIFT, kpc_per_arcsec
from skyreel_galsim.images import galaxy_image, profile
from skyreel_galsim.population import ALPHA, draw_field, draw_hosts
from skyreel_galsim.shapes import (
    ELLIPTICAL,
    R50_PER_SCALE,
    SPIRAL,
    component_radii,
    draw_axes,
    draw_directions,
    major_r50,
    projected,
)

Array = NDArray[np.float64]

BRIGHTEST, FAINTEST = 12.0, 26.0
"""Limits of the range of g [mag]: the volume and the luminosity function hold too few galaxies beyond."""
RENDERERS = ("batch", "galsim")


@dataclass
class GalSimHost(Host):
    """Galaxies of the local luminosity function, drawn by GalSim.

    Without a redshift: galaxies of a field with g within mag_min..mag_max. Luminosities follow the Schechter function of SDSS in r
    (Blanton et al. 2003), redshifts the comoving volume (H0 = 70, Omega_m = 0.3); number counts follow from both. With a redshift
    (hosts of supernovae): the same luminosity function weighted by luminosity, since SNe Ia occur in proportion to it (Yasuda &
    Fukugita 2010, AJ 139, 39); SNe II, which follow star formation, are given the same hosts. The range of g does not bind these.

    Early types, in the share of Zucca et al. (2009) at each luminosity, are de Vaucouleurs profiles with the spectrum of an
    elliptical. The others are exponential discs of type Scd with a de Vaucouleurs bulge of old stars, whose share of the light
    is that of types Sa to Sd (Laurikainen et al. 2010). Sizes follow Shen et al. (2003), intrinsic axes Padilla & Strauss (2008),
    seen from a random direction; bulges have the axes of ellipticals, and the position angle of their disc. Dust and the
    evolution of spectra and types are left out. A galaxy has one shape in all bands.

    Columns of its params: mag_g [mag], redshift, abs_mag (r at z = 0.1) [mag], r50_exp and r50_dev (major axis) [arcsec],
    axis_ratio_exp, axis_ratio_dev, position_angle [radian, from +x towards +y], frac_dev (share of the g light).

    Parameters
    ----------
    mag_min, mag_max : float, mag
        Range of g without a redshift.
    evolution : float, mag
        Brightening of M* per unit of redshift up to z = 0.5: 1.62 in r (Blanton et al. 2003, table 2 [recalled], measured at
        z < 0.3).
    luminosity_weight : float
        Galaxies with a given redshift are drawn as often as their luminosity to this power. 1: as SNe Ia; larger than 0.05.
    renderer : 'batch' or 'galsim'
        Who makes the images: whole batches from the radial spectra that GalSim tabulates, or GalSim itself, one galaxy after the
        other and some eight times as slow. Behind a PSF they agree to 1e-3 of the peak.

    Raises
    ------
    ConfigError
        For an unknown renderer, an empty or extreme range of magnitudes, a negative evolution or a weight that leaves no mean luminosity.
    """

    bands = BANDS

    mag_min: float = field(default=17.0, metadata={"unit": "mag"})
    mag_max: float = field(default=23.0, metadata={"unit": "mag"})
    evolution: float = field(default=1.62, metadata={"unit": "mag"})
    luminosity_weight: float = 1.0
    renderer: str = "batch"

    def __post_init__(self) -> None:
        if not BRIGHTEST <= self.mag_min < self.mag_max <= FAINTEST:
            asked = f"{self.mag_min}, {self.mag_max}"
            raise ConfigError("host.mag_min, mag_max", asked, f"choose {BRIGHTEST:g} <= mag_min < mag_max <= {FAINTEST:g}")
        if not 0.0 <= self.evolution <= 3.0:
            raise ConfigError("host.evolution", str(self.evolution), "choose 0 (none) to 3 mag per unit of redshift")
        if not -(ALPHA + 1.0) < self.luminosity_weight <= 3.0:
            found = str(self.luminosity_weight)
            raise ConfigError("host.luminosity_weight", found, f"it must be larger than {-(ALPHA + 1.0):.2f} and at most 3")
        if self.renderer not in RENDERERS:
            raise ConfigError("host.renderer", repr(self.renderer), f"use one of {', '.join(RENDERERS)}")

    def sample(self, n: int, rng: np.random.Generator, redshift: Array | None = None) -> Params:
        """Parameters of n galaxies; `redshift` (n,) fixes their redshift where it is not NaN.

        Raises
        ------
        DataError
            For redshifts that are not positive or lie beyond the tables, at 2, and for another number of them.
        """
        z, abs_mag, early, mag_g, frac_dev = draw_field(n, self.mag_min, self.mag_max, self.evolution, rng)
        if redshift is not None:
            given = _checked(redshift, n)
            tied = np.isfinite(given)
            z = np.where(tied, given, z)
            host = draw_hosts(z, self.evolution, self.luminosity_weight, rng)
            abs_mag, mag_g, frac_dev = (np.where(tied, a, b) for a, b in ((host[0], abs_mag), (host[2], mag_g), (host[3], frac_dev)))
            early = np.where(tied, host[1], early)
        r50 = major_r50(abs_mag, early, rng) / kpc_per_arcsec(z)
        r50_exp, r50_dev = component_radii(r50, frac_dev, early)
        direction = draw_directions(n, rng)
        disc = projected(*draw_axes(SPIRAL, n, rng), direction)
        bulge = projected(*draw_axes(ELLIPTICAL, n, rng), direction)
        return {
            "mag_g": mag_g,
            "redshift": z,
            "abs_mag": abs_mag,
            "r50_exp": r50_exp,
            "r50_dev": r50_dev,
            "axis_ratio_exp": np.where(early, bulge, disc),
            "axis_ratio_dev": bulge,
            "position_angle": rng.uniform(0.0, np.pi, n),
            "frac_dev": frac_dev,
        }

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
        major, minor = radius * np.cos(turn), radius * np.sin(turn) * params["axis_ratio_exp"]
        cos, sin = np.cos(params["position_angle"]), np.sin(params["position_angle"])
        return np.stack([major * cos - minor * sin, major * sin + minor * cos], axis=-1)

    def image(self, params: Params, offset: Array, bands: Sequence[str], scale: float, size: int, oversample: int) -> NDArray[np.float32]:
        """Unconvolved galaxies with unit flux over the plane, (n, 1, M, M): the same shape in all bands.

        Cut at the Nyquist frequency of the sub-pixels: sharp cores ring by some 2 % of the peak until they are seen through
        a PSF. Light beyond the image is left out.
        """
        shapes = Shapes(
            params["r50_exp"] / scale,
            params["axis_ratio_exp"],
            params["r50_dev"] / scale,
            params["axis_ratio_dev"],
            params["frac_dev"],
            params["position_angle"],
            offset / scale,
        )
        draw = galaxy_images if self.renderer == "batch" else _one_by_one
        return draw(shapes, size, oversample)[:, None]


def _one_by_one(shapes: Shapes, size: int, oversample: int) -> NDArray[np.float32]:
    """`galaxy_images` by GalSim."""
    out = np.empty((len(shapes.angle), size * oversample, size * oversample), np.float32)
    columns = (shapes.r50_exp, shapes.ratio_exp, shapes.r50_dev, shapes.ratio_dev, shapes.frac_dev, shapes.angle)
    for k, (r50_exp, ratio_exp, r50_dev, ratio_dev, frac_dev, angle) in enumerate(zip(*columns, strict=True)):
        galaxy = profile((r50_exp, ratio_exp), (r50_dev, ratio_dev), frac_dev, angle)
        out[k] = galaxy_image(galaxy, shapes.offset[k], size, oversample)
    return out


def _checked(redshift: Array, n: int) -> Array:
    """Redshifts (n,), NaN for any; see `GalSimHost.sample`."""
    given = np.asarray(redshift, np.float64)
    if given.shape != (n,):
        raise DataError("host: redshift", f"shape {given.shape}", f"hand in one redshift per galaxy, ({n},)")
    wrong = (given <= 0.0) | (given > MAX_REDSHIFT)
    if wrong.any():
        found = f"{given[wrong][0]:g} of galaxy {int(np.argmax(wrong))}"
        raise DataError("host: redshift", found, f"redshifts must be positive and at most {MAX_REDSHIFT:g}; NaN draws one")
    return given

"""The galaxies that are drawn: counts, luminosities, types, sizes, shapes and colours against the papers they follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import galsim
import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from omegaconf import OmegaConf
from scipy.integrate import quad
from scipy.special import gammainc
from scipy.stats import kstest, truncnorm

from skyreel.errors import BandError, ConfigError, DataError
from skyreel_galsim import population, shapes
from skyreel_galsim.colours import BANDS, colours, g_magnitude
from skyreel_galsim.cosmology import MAX_REDSHIFT, distance_modulus, kpc_per_arcsec, volume_per_square_degree
from skyreel_galsim.host import GalSimHost

Array = NDArray[np.float64]
CONF = Path(__file__).resolve().parents[1] / "conf" / "host" / "galsim.yaml"
N = 20_000
COSMOLOGY = FlatLambdaCDM(70, 0.3)


def sample(n: int = N, seed: int = 1, redshift: float | None = None, **options: float) -> dict[str, Array]:
    fixed = None if redshift is None else np.full(n, redshift)
    return GalSimHost(**options).sample(n, np.random.default_rng(seed), fixed)


def test_defaults_equal_the_config_file() -> None:
    config = OmegaConf.to_container(OmegaConf.load(CONF))
    assert isinstance(config, dict)
    assert config.pop("name") == "galsim"
    assert config == OmegaConf.to_container(OmegaConf.structured(GalSimHost))


@given(z=st.floats(0.005, 2.0))
def test_distances_and_volumes_are_those_of_astropy(z: float) -> None:
    here = np.array([z])
    assert distance_modulus(here)[0] == pytest.approx(COSMOLOGY.distmod(z).value, abs=2e-4)
    assert kpc_per_arcsec(here)[0] == pytest.approx(COSMOLOGY.kpc_proper_per_arcmin(z).value / 60, rel=1e-4)
    volume = COSMOLOGY.differential_comoving_volume(z).value * (np.pi / 180) ** 2
    assert volume_per_square_degree(here)[0] == pytest.approx(volume, rel=1e-4)


# ------------------------------------------------------------------------------------- luminosities and counts


def test_the_luminosity_density_is_that_of_blanton_2003() -> None:
    # Abstract: -15.90 mag in a cubic Mpc in r at z = 0.1 for h = 1, that is -15.90 + 5 log10 h with h3 Mpc-3 volumes at h = 0.7.
    density = quad(
        lambda m: 10 ** (-0.4 * m) * float(population.schechter(np.array(m), population.M_STAR, -1.05, population.PHI_STAR)), -26, -10
    )[0]
    h = 0.7
    assert -2.5 * np.log10(density) == pytest.approx(-15.90 + 5 * np.log10(h) - 2.5 * np.log10(h**3), abs=0.03)


def test_counts_reproduce_those_of_sdss() -> None:
    """Yasuda et al. (2001, AJ 122, 1104), table 2: 3370 galaxies per deg2 with 12 < r < 21; bright counts rise as 10^(0.6 m)."""
    host = GalSimHost(mag_min=12.0, mag_max=23.5)
    rng = np.random.default_rng(2)
    z, abs_mag = population.cells(12.0, 23.5, host.evolution).draw(100_000, rng)
    _, bulge = population.draw_types(abs_mag - population.m_star(z, host.evolution), rng)
    g, frac_dev = g_magnitude(distance_modulus(z), abs_mag, z, bulge)
    r = g + colours(z, frac_dev)[:, BANDS.index("r")]
    per_galaxy = population.cells(12.0, 23.5, host.evolution).cumulative[-1] / len(z)
    assert ((r > 12) & (r < 21) & (g < 23.5)).sum() * per_galaxy == pytest.approx(3370, rel=0.1)


def test_bright_counts_are_euclidean_and_faint_ones_flatter() -> None:
    rng = np.random.default_rng(3)
    slope = {}
    for low in (14.0, 21.0):
        table = population.cells(low, low + 2, 1.62)
        g = GalSimHost(mag_min=low, mag_max=low + 2).sample(N, rng)["mag_g"]
        assert low < g.min() < g.max() < low + 2
        assert table.cumulative[-1] > 0
        slope[low] = np.log10((g > low + 1).sum() / (g < low + 1).sum())
    assert slope[14.0] == pytest.approx(0.57, abs=0.04)  # 0.6 less the dimming by expansion
    assert 0.3 < slope[21.0] < 0.45


def test_redshifts_and_luminosities_follow_the_luminosity_function_times_the_volume() -> None:
    """Galaxies of one spectrum in a narrow range of g: the distribution of z against an independent integral."""
    host = sample(mag_min=19.0, mag_max=20.0)
    old = host["frac_dev"] == 1
    grid = np.linspace(0.005, 1.2, 400)
    density = np.zeros(400)
    for k, z in enumerate(grid):
        # The M of an early type with g = 19 ... 20 at this redshift.
        shift = float(g_magnitude(distance_modulus(np.array([z])), np.zeros(1), np.array([z]), np.ones(1))[0][0])
        m = np.linspace(19 - shift, 20 - shift, 41)
        star = population.m_star(np.array([z]), 1.62)
        share = population.early_fraction(m - star)
        phi = population.schechter(m, star, population.ALPHA, population.PHI_STAR)
        density[k] = np.trapezoid(phi * share, m) * COSMOLOGY.differential_comoving_volume(z).value
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    cumulative /= cumulative[-1]
    found = np.interp(host["redshift"][old], grid, cumulative)
    assert old.sum() > 3000
    assert kstest(found, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
def test_hosts_follow_the_luminosity_function_weighted_by_luminosity(weight: float) -> None:
    host = sample(redshift=0.3, luminosity_weight=weight)
    assert (host["redshift"] == 0.3).all()
    star = -20.44 + 5 * np.log10(0.7) - 1.62 * 0.2
    grid = np.linspace(star - 4, star + 25, 6000)
    weighted = population.schechter(grid, star, -1.05, 1.0) * 10 ** (-0.4 * weight * (grid - star))
    cumulative = np.cumsum(weighted) / weighted.sum()
    assert kstest(np.interp(host["abs_mag"], grid, cumulative), "uniform").pvalue > 1e-3


def test_a_galaxy_at_redshift_a_tenth_is_seen_in_its_own_band() -> None:
    host = sample(500, redshift=0.1)
    r = GalSimHost().mag(host, ["r"])[:, 0]
    expected = host["abs_mag"] + COSMOLOGY.distmod(0.1).value - 2.5 * np.log10(1.1)
    np.testing.assert_allclose(r, expected, atol=2e-3)


def test_free_and_given_redshifts_mix() -> None:
    z = np.where(np.arange(2000) % 2, 0.3, np.nan)
    host = GalSimHost().sample(2000, np.random.default_rng(2), z)
    assert (host["redshift"][1::2] == 0.3).all()
    assert np.unique(host["redshift"][::2]).size == 1000
    assert ((host["mag_g"][::2] > 17) & (host["mag_g"][::2] < 23)).all()


# ------------------------------------------------------------------------------------------- types and shapes


def test_luminous_galaxies_are_early_types() -> None:
    share = population.early_fraction(np.array([-2.0, 0.0, 2.0, 4.0]))
    assert (np.diff(share) < 0).all()
    # By hand from the functions of Zucca et al. (2009): 1.07, 0.82 and 0.11 per 1000 Mpc3 and unit x at M*.
    assert share[1] == pytest.approx(1.07 / (1.07 + 0.82 + 0.11), abs=0.01)
    host = sample(redshift=0.3)
    expected = population.early_fraction(host["abs_mag"] - population.m_star(host["redshift"], 1.62)).mean()
    assert (host["frac_dev"] == 1).mean() == pytest.approx(expected, abs=5 * np.sqrt(0.25 / N))


def test_bulges_hold_the_share_of_light_of_spirals() -> None:
    bulge = population.bulge_fraction(np.zeros(N, bool), np.random.default_rng(1))
    assert bulge.min() == 0
    assert bulge.max() < 0.8
    # Sa 0.25, Sb 0.14, Sbc 0.11, Sc 0.11, Sd 0.07: 0.136 and a little more by the cut at 0.
    assert 0.136 < bulge.mean() < 0.155
    assert (population.bulge_fraction(np.ones(5, bool), np.random.default_rng(1)) == 1).all()


def test_sizes_are_those_of_shen_2003() -> None:
    median, scatter = shapes.physical_r50(np.array([-20.52, -22.0, -22.0]), np.array([False, False, True]))
    # Late types at M0: 10^(0.084 x 20.52 + 0.32 log10 2 - 1.31) = 3.24 kpc with the mean of both dispersions.
    assert median[0] == pytest.approx(3.24, abs=0.01)
    assert scatter[0] == pytest.approx(0.365)
    assert median[2] == pytest.approx(10 ** (0.24 * 22 - 4.63))
    assert scatter[1] < 0.3


@pytest.mark.parametrize("early", [False, True])
def test_circular_radii_of_inclined_galaxies_have_the_median_and_scatter_of_shen_2003(early: bool) -> None:
    n, rng = 200_000, np.random.default_rng(4)
    kind, abs_mag = np.full(n, early), np.full(n, -20.0)
    ratio = shapes.projected(*shapes.draw_axes(shapes.ELLIPTICAL if early else shapes.SPIRAL, n, rng), shapes.draw_directions(n, rng))
    circular = shapes.major_r50(abs_mag, kind, rng) * np.sqrt(ratio)
    median, scatter = shapes.physical_r50(abs_mag, kind)
    assert np.exp(np.log(circular).mean()) == pytest.approx(median[0], rel=0.01)
    assert np.median(circular) == pytest.approx(median[0], rel=0.03)
    assert np.log(circular).std() == pytest.approx(scatter[0], rel=0.02)


def test_angular_sizes_are_the_physical_ones_at_their_distance() -> None:
    host = sample(redshift=0.3, luminosity_weight=1.0)
    late = host["frac_dev"] < 1
    kpc = host["r50_dev"][~late] * COSMOLOGY.kpc_proper_per_arcmin(0.3).value / 60 * np.sqrt(host["axis_ratio_dev"][~late])
    median, _ = shapes.physical_r50(host["abs_mag"][~late], np.ones((~late).sum(), bool))
    assert np.exp(np.log(kpc / median).mean()) == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(host["r50_exp"][~late], host["r50_dev"][~late])
    np.testing.assert_allclose(host["r50_dev"][late] / host["r50_exp"][late], 0.22 / 1.67835, rtol=1e-4)


@given(r50=st.floats(0.1, 5), share=st.floats(0, 0.9))
def test_disc_and_bulge_together_have_the_half_light_radius(r50: float, share: float) -> None:
    disc, bulge = shapes.component_radii(np.array([r50]), np.array([share]), np.zeros(1, bool))
    # Light of an exponential and of a de Vaucouleurs profile within a radius, by their incomplete gamma functions.
    inside = (1 - share) * gammainc(2, 1.67834699 * r50 / disc[0]) + share * gammainc(8, 7.66924944 * (r50 / bulge[0]) ** 0.25)
    assert inside == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize(
    ("law", "mu", "sigma", "gamma", "width"), [(shapes.SPIRAL, -2.33, 0.79, 0.79, 0.05), (shapes.ELLIPTICAL, -2.2, 1.4, 0.57, 0.21)]
)
def test_intrinsic_axes_are_those_of_padilla_and_strauss_2008(
    law: tuple[float, ...], mu: float, sigma: float, gamma: float, width: float
) -> None:
    middle, short = shapes.draw_axes(law, N, np.random.default_rng(5))  # type: ignore[arg-type]
    assert kstest(np.log(1 - middle), truncnorm(-np.inf, -mu / sigma, mu, sigma).cdf).pvalue > 1e-3
    assert kstest(1 - short / middle, truncnorm(-gamma / width, (1 - gamma) / width, gamma, width).cdf).pvalue > 1e-3


def test_projected_axis_ratios_against_known_directions_and_the_oblate_formula() -> None:
    middle, short = np.full(3, 0.8), np.full(3, 0.3)
    along_each = shapes.projected(middle, short, np.eye(3))
    np.testing.assert_allclose(along_each, [0.3 / 0.8, 0.3, 0.8])
    # Oblate spheroids: q^2 = cos^2 i + c^2 sin^2 i (Hubble 1926).
    direction = shapes.draw_directions(500, np.random.default_rng(6))
    oblate = shapes.projected(np.ones(500), np.full(500, 0.25), direction)
    np.testing.assert_allclose(oblate**2, direction[:, 2] ** 2 + 0.0625 * (1 - direction[:, 2] ** 2), atol=1e-12)


def test_apparent_axis_ratios_have_their_moments() -> None:
    host = sample()
    late = host["frac_dev"] < 1
    disc, old = host["axis_ratio_exp"][late], host["axis_ratio_exp"][~late]
    # Thin randomly seen discs are flat in q: mean close to (1 + 0.2) / 2, less the ellipticity of face-on discs.
    assert disc.mean() == pytest.approx(0.54, abs=0.02)
    assert disc.std() == pytest.approx(0.24, abs=0.02)
    assert old.mean() > disc.mean() + 0.03
    assert host["axis_ratio_exp"].min() >= 0.05
    assert host["axis_ratio_exp"].max() <= 1
    assert kstest(host["position_angle"] / np.pi, "uniform").pvalue > 1e-3


def test_bulge_and_disc_are_seen_from_the_same_side() -> None:
    host = sample()
    assert np.corrcoef(host["axis_ratio_exp"], host["axis_ratio_dev"])[0, 1] > 0.5


# ----------------------------------------------------------------------------------------------------- colours


def one(frac_dev: float, redshift: float = 0.2) -> dict[str, Array]:
    return {"mag_g": np.array([20.0]), "redshift": np.array([redshift]), "frac_dev": np.array([frac_dev])}


@pytest.mark.parametrize(("frac_dev", "name"), [(1.0, "CWW_E_ext.sed"), (0.0, "CWW_Scd_ext.sed")])
@pytest.mark.parametrize("redshift", [0.0, 0.2, 1.0])
def test_colours_are_those_of_their_spectra(frac_dev: float, name: str, redshift: float) -> None:
    sed = galsim.SED(name, wave_type="Ang", flux_type="flambda").atRedshift(redshift)
    mags = np.array([sed.calculateMagnitude(galsim.Bandpass(f"LSST_{band}.dat", "nm").withZeropoint("AB")) for band in BANDS])
    found = GalSimHost().mag(one(frac_dev, redshift), BANDS)[0]
    np.testing.assert_allclose(found - found[1], mags - mags[1], atol=1e-6)


def test_an_elliptical_and_a_spiral_nearby_have_the_colours_of_fukugita_1995() -> None:
    # PASP 107, 945, table 3 [recalled]: g' - r' of E 0.77 and Scd 0.38 at z = 0.
    for frac_dev, expected in ((1.0, 0.77), (0.0, 0.38)):
        g, r = GalSimHost().mag(one(frac_dev, 0.0), ["g", "r"])[0]
        assert g - r == pytest.approx(expected, abs=0.07)


def test_mixtures_keep_the_light_of_both_parts() -> None:
    disc, old, both = (GalSimHost().mag(one(share, 0.4), BANDS)[0] for share in (0.0, 1.0, 0.3))
    np.testing.assert_allclose(10 ** (-0.4 * both), 0.7 * 10 ** (-0.4 * disc) + 0.3 * 10 ** (-0.4 * old))
    assert (np.diff(old) < 0).all()


def test_the_share_of_old_stars_fades_in_g_with_redshift() -> None:
    z = np.array([0.1, 0.4, 0.8])
    _, frac_dev = g_magnitude(distance_modulus(z), np.full(3, -21.0), z, np.full(3, 0.2))
    assert (np.diff(frac_dev) < 0).all()
    assert frac_dev[0] == pytest.approx(0.14, abs=0.03)


# --------------------------------------------------------------------------------------------------- bad input


def test_a_galaxy_in_an_unknown_band_is_refused() -> None:
    with pytest.raises(BandError, match=r"host galsim in band 'w'; it knows u, g, r, i, z, y|host galsim in band 'w'"):
        GalSimHost().mag(one(0.5), ["g", "w"])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: GalSimHost(mag_min=24), "host.mag_min, mag_max: 24, 23.0; choose 12 <= mag_min < mag_max <= 26"),
        (lambda: GalSimHost(mag_max=30), "host.mag_min, mag_max"),
        (lambda: GalSimHost(mag_min=float("nan")), "host.mag_min, mag_max"),
        (lambda: GalSimHost(evolution=-1), "host.evolution: -1"),
        (lambda: GalSimHost(evolution=float("nan")), "host.evolution"),
        (lambda: GalSimHost(luminosity_weight=0.0), "host.luminosity_weight: 0.0; it must be larger than 0.05"),
        (lambda: GalSimHost(luminosity_weight=float("nan")), "host.luminosity_weight"),
    ],
)
def test_options_out_of_range_are_named(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()


@pytest.mark.parametrize("wrong", [0.0, -0.3, MAX_REDSHIFT + 0.1, np.inf])
def test_redshifts_outside_the_tables_are_named(wrong: float) -> None:
    with pytest.raises(DataError, match=r"host: redshift: (0|-0.3|2.1|inf) of galaxy 1; redshifts must be positive and at most 2"):
        GalSimHost().sample(2, np.random.default_rng(0), np.array([0.1, wrong]))


def test_one_redshift_per_galaxy() -> None:
    with pytest.raises(DataError, match=r"shape \(3,\); hand in one redshift per galaxy, \(2,\)"):
        GalSimHost().sample(2, np.random.default_rng(0), np.full(3, 0.1))


@given(low=st.floats(12, 24), width=st.floats(0.5, 6))
def test_any_range_of_magnitudes_is_kept(low: float, width: float) -> None:
    high = min(low + width, 26.0)
    g = GalSimHost(mag_min=low, mag_max=high).sample(50, np.random.default_rng(0))["mag_g"]
    assert ((g >= low) & (g <= high)).all()

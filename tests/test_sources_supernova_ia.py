"""Physics of the SNe Ia: absolute magnitude, decline, stretch, colour, K-corrections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from supernova_toys import BANDS, absolute, magnitudes, params

from skyreel_sources import snia
from skyreel_sources.sn_tables import COLOUR_LAW, COLOUR_RANGE, colour_law, wavelengths

B_IN_G = 0.111
"""Redshift at which DECam g (4890 angstrom) sees rest-frame B (4400 angstrom)."""
DAYS = np.arange(0.0, 70.0, 0.05)


def rest_b(stretch=1.0):
    """Rest-frame days since explosion and absolute AB magnitude in B of a normal SN Ia, through the g band."""
    mag = absolute(params(0, B_IN_G, stretch=stretch), DAYS * (1 + B_IN_G), "g")[0]
    return DAYS, mag + 2.5 * np.log10(1 + B_IN_G)


def test_b_is_where_g_looks():
    assert wavelengths(np.array([B_IN_G]))[0, 1] == pytest.approx(4400, abs=20)


def test_absolute_magnitude_decline_and_rise_in_b():
    days, mag = rest_b()
    peak = mag.argmin()
    # M_B = -19.36 (Vega), B(AB) = B(Vega) - 0.09 (Blanton & Roweis 2007, table 1), to within the different shapes of g and B;
    # exactly so in test_equals_sncosmo
    assert mag[peak] + 0.09 == pytest.approx(-19.36, abs=0.1)
    # 1.1 mag in the 15 days after maximum: the fiducial decline of Phillips 1993 (ApJ 413, L105) and Phillips et al. 1999
    assert np.interp(days[peak] + 15, days, mag) - mag[peak] == pytest.approx(1.1, abs=0.12)
    assert days[peak] == pytest.approx(18.0, abs=1.0)


@pytest.mark.parametrize("stretch", [0.75, 0.9, 1.2])
def test_stretch_makes_the_decline_slower(stretch):
    def decline(days, mag):
        peak = mag.argmin()
        return np.interp(days[peak] + 15, days, mag) - mag[peak]

    # Perlmutter et al. 1997 (ApJ 483, 565): delta m15 = 1.96 (1/s - 1) + 1.07, to within the scatter of templates
    assert decline(*rest_b(stretch)) == pytest.approx(1.96 * (1 / stretch - 1) + 1.07, abs=0.2)


def test_second_maximum_in_i():
    days = np.arange(30.0, 60.0, 0.1)
    mag = absolute(params(0, 0.003), days * 1.003, "i")[0]
    inner = 1 + np.flatnonzero((mag[1:-1] < mag[:-2]) & (mag[1:-1] < mag[2:]))
    # about 25 days after B maximum, some tenths below the first one (Hamuy et al. 1996; Krisciunas et al. 2001)
    assert len(inner) == 1
    assert 20 < days[inner[0]] - 18 < 31
    first = absolute(params(0, 0.003), np.arange(5.0, 30.0, 0.1), "i").min()
    assert 0.2 < mag[inner[0]] - first < 0.9


@pytest.mark.parametrize("redshift", [0.05, 0.3, 0.55])
def test_equals_sncosmo(redshift):
    sncosmo = pytest.importorskip("sncosmo")
    filters = pytest.importorskip("speclite.filters")
    from astropy.cosmology import FlatLambdaCDM

    model = sncosmo.Model("hsiao-subsampled")
    model.set(z=redshift, t0=0.0)
    model.set_source_peakabsmag(-19.45, "bessellb", "ab", cosmo=FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0))
    phase = np.array([-15.0, -8.0, 0.0, 10.0, 30.0, 60.0])
    days = (phase + 18.0) * (1 + redshift)
    for name in "gri":
        response = filters.load_filter(f"decam2014-{name}")
        band = sncosmo.Bandpass(response.wavelength, response.response, name=f"decam-{name}")
        reference = model.bandmag(band, "ab", phase * (1 + redshift))
        np.testing.assert_allclose(magnitudes(params(0, redshift), days, name)[0], reference, rtol=0, atol=0.012)


def test_time_runs_slower_by_one_plus_redshift():
    # At z = 0.323 the r band sees the light that g sees at rest.
    def width(redshift, band):
        mag = magnitudes(params(0, redshift), np.arange(0.0, 80.0, 0.05), band)[0]
        return 0.05 * (mag < mag.min() + 1.0).sum()

    assert width(0.323, "r") / width(0.002, "g") == pytest.approx(1.323 / 1.002, rel=0.03)


@settings(max_examples=30, deadline=None)
@given(redshift=st.floats(0.001, 1.0), stretch=st.floats(0.7, 1.3), day=st.floats(0.1, 100.0))
def test_phase_is_days_over_dilation_and_stretch(redshift, stretch, day):
    table = params(0, redshift, stretch=stretch)
    assert snia.phase(table, np.array([[day]]))[0, 0] == pytest.approx(snia.PER_DAY * day / (1 + redshift) / stretch, rel=1e-6)
    stretched = magnitudes(table, np.array([day * stretch]), "r")
    np.testing.assert_allclose(stretched, magnitudes(params(0, redshift), np.array([day]), "r"), rtol=0, atol=2e-4)


def test_luminosity_follows_stretch_and_colour():
    rng = np.random.default_rng(0)
    abs_mag = rng.normal(snia.PEAK, snia.SPREAD, 50_000)
    drawn = snia.shape(abs_mag, rng)
    assert (drawn["stretch"].min(), drawn["stretch"].max()) == (0.7, 1.3)
    assert drawn["stretch"].mean() == pytest.approx(1.0, abs=0.002)
    assert drawn["stretch"].std() == pytest.approx(0.1, abs=0.001)
    assert drawn["colour"].mean() == pytest.approx(0.0, abs=0.002)
    assert drawn["colour"].std() == pytest.approx(0.1, abs=0.001)
    assert np.corrcoef(drawn["stretch"], drawn["colour"])[0, 1] == pytest.approx(0.0, abs=0.02)
    design = np.stack([np.ones(50_000), drawn["stretch"] - 1, drawn["colour"]], axis=1)
    solution, *_ = np.linalg.lstsq(design, abs_mag, rcond=None)
    np.testing.assert_allclose(solution, [-19.36, -1.5, 3.1], atol=0.02)
    assert np.std(abs_mag - design @ solution) == pytest.approx(0.12, abs=0.002)


def test_colour_law_equals_sncosmo():
    salt2utils = pytest.importorskip("sncosmo.salt2utils")
    wavelength = np.linspace(2800.0, 11_000.0, 100)
    reference = salt2utils.SALT2ColorLaw(COLOUR_RANGE, list(COLOUR_LAW))(wavelength)
    np.testing.assert_allclose(colour_law(wavelength), reference, rtol=0, atol=1e-9)
    np.testing.assert_allclose(colour_law(np.array([4302.57, 5428.55])), [0.0, -1.0], atol=1e-12)
    assert colour_law(np.array([1800.0])) == colour_law(np.array([2800.0]))


@pytest.mark.parametrize("redshift", [0.02, 0.25, 0.6])
def test_colour_reddens_by_its_law(redshift):
    for band in "ugriz":
        plain, red = (magnitudes(params(0, redshift, colour=c), [20.0], band)[0, 0] for c in (0.0, 0.2))
        expected = 0.2 * colour_law(wavelengths(np.array([redshift])))[0, BANDS.index(band)]
        assert red - plain == pytest.approx(expected, abs=1e-3)


def test_light_goes_on_beyond_the_table():
    late = magnitudes(params(0, 0.1), (1.1 * (18 + np.array([84.0, 85.0, 86.0, 120.0]))), "g")[0]
    slope = late[1] - late[0]
    np.testing.assert_allclose(np.diff(late), slope * np.array([1, 1, 34]), rtol=0, atol=2e-3)
    assert slope > 0

"""Limb darkening and bands of the synthesiser of close binaries: the observed Sun and the exact grey atmosphere."""

from __future__ import annotations

import numpy as np
import pytest

from skyreel_sources.tables import roche_light


@pytest.mark.parametrize(("micron", "alpha"), [(0.4439, 0.649), (0.5600, 0.496), (0.6694, 0.407)])
def test_limb_darkening_of_the_sun_as_observed(micron, alpha):
    # I = mu^alpha, exponents measured on the Sun (Hestroffer & Magnan 1998, A&A 333, 338, table 2): mean over centre 2 / (2 + alpha).
    assert roche_light.limb_darkening(micron, 5772.0) == pytest.approx(3 * alpha / (2 + alpha), abs=0.015)


def test_grey_atmosphere_has_chandrasekhars_limb_darkening():
    # In all light together I(mu) ~ H(mu), with 1 / H(mu) = 1/2 int m H(m) / (mu + m) dm (Chandrasekhar 1950, Radiative
    # transfer, chapter V): solved here by iteration.
    node, weight = np.polynomial.legendre.leggauss(64)
    node, weight = 0.5 * (1 + node), 0.5 * weight
    mu = np.array([0.1, 0.3, 0.5, 0.8, 1.0])

    def inverse(at, h):
        return 0.5 * ((weight * node * h) / (at[:, None] + node)).sum(axis=1)

    h = 1 + 2 * node
    for _ in range(300):
        h = 0.5 * (h + 1 / inverse(node, h))
    exact = 1 / inverse(mu, h)
    micron = np.geomspace(0.1, 50.0, 200)
    spectrum = np.array([roche_light.grey_intensity(value, 6000.0, mu) / value**5 for value in micron])
    total = np.trapezoid(spectrum, micron, axis=0)
    np.testing.assert_allclose(total / total[-1], exact / exact[-1], rtol=0.003)


def test_cool_stars_and_blue_bands_are_darker_at_the_limb():
    table = np.array(
        [[roche_light.limb_darkening(value, kelvin) for value in roche_light.WAVELENGTH.values()] for kelvin in (4500, 6000, 9000)]
    )
    assert (np.diff(table, axis=0) < 0).all()
    assert (np.diff(table, axis=1) < 0).all()
    assert (table > 0.2).all()
    assert (table <= 0.95).all()


def test_wavelengths_are_those_of_the_filters():
    filters = pytest.importorskip("speclite.filters")
    for name, micron in roche_light.WAVELENGTH.items():
        curve = filters.load_filter(f"decam2014-{'Y' if name == 'y' else name}")
        assert curve.effective_wavelength.to_value("micron") == pytest.approx(micron, abs=1e-4)

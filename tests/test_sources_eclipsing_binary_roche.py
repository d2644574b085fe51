"""The synthesiser of close binaries against independent analytic results: Roche geometry, discs, ellipsoidal variation, orbits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from skyreel.errors import BandError, DataError
from skyreel_sources.tables import roche, roche_light
from skyreel_sources.tables.roche_curve import Binary, eccentric_anomaly, light_curve, magnitudes, orbit

RATIOS = st.floats(0.05, 20.0)
MICRON = 0.4890
"""Of g."""


def binary(q, radii, temperatures=(6000.0, 6000.0), *args):
    """A detached pair of stars with these volume radii."""
    levels = tuple(float(roche.level_of_radius(q, radius, star)[0]) for star, radius in enumerate(radii))
    return Binary(q, levels, temperatures, *args)


# ------------------------------------------------------------------------------------------------ geometry


def test_lagrange_points_of_equal_masses():
    # L1 lies midway, where the potential is 2 + 2 - 1/2 + 1/4; L2 and L3 lie at equal distances outside.
    l1, l2, l3 = roche.lagrange(1.0)
    assert l1 == pytest.approx(0.5, abs=1e-9)
    assert l2 - 1.0 == pytest.approx(-l3, abs=1e-9)
    assert l2 == pytest.approx(1.69841, abs=1e-4)
    assert roche.critical(1.0)[0] == pytest.approx(3.75, abs=1e-9)


@settings(max_examples=25)
@given(q=RATIOS)
def test_forces_balance_at_l1(q):
    # Attraction of both stars and the centrifugal force about the centre of mass, written out for a unit mass.
    x = roche.lagrange(q)[0]
    attraction = 1.0 / x**2 - q / (1.0 - x) ** 2
    centrifugal = (1.0 + q) * (x - q / (1.0 + q))
    assert attraction == pytest.approx(centrifugal, abs=1e-7 * (1.0 + q))


@settings(max_examples=25, deadline=None)
@given(q=RATIOS)
def test_lobes_have_eggletons_radius(q):
    inner = roche.critical(q)[0]
    for star, ratio in ((0, q), (1, 1.0 / q)):
        cube_root = (1.0 / ratio) ** (1.0 / 3.0)
        eggleton = 0.49 * cube_root**2 / (0.6 * cube_root**2 + np.log(1.0 + cube_root))
        assert roche.lobe_radius(ratio) == pytest.approx(eggleton, rel=1e-12)
        assert roche.surface(q, inner, star).volume_radius[0] == pytest.approx(eggleton, rel=0.01)


@settings(max_examples=20, deadline=None)
@given(q=RATIOS, share=st.floats(0.05, 0.98), star=st.integers(0, 1))
def test_surfaces_lie_on_their_potential_and_have_the_asked_volume(q, share, star):
    radius = share * 0.99 * roche.lobe_radius(q if star == 0 else 1.0 / q)
    level = roche.level_of_radius(q, radius, star)
    shape = roche.surface(q, level, star)
    np.testing.assert_allclose(roche.potential(q, *np.moveaxis(shape.position, -1, 0)), np.full(shape.area.shape, level[0]), rtol=1e-7)
    assert shape.volume_radius[0] == pytest.approx(radius, rel=1e-3)
    # Closed: the areas' normals cancel, and their flux through the star's own centre is three times the volume (Gauss).
    outward = shape.position[0] - np.array([star, 0.0, 0.0])
    volume = np.sum(shape.area[0] * np.sum(shape.normal[0] * outward, axis=1)) / 3.0
    assert volume == pytest.approx(4.0 / 3.0 * np.pi * radius**3, rel=3e-3)
    assert np.linalg.norm(shape.area[0] @ shape.normal[0]) < 0.01 * shape.area.sum()


def test_small_stars_are_spheres():
    shape = roche.surface(0.5, roche.level_of_radius(0.5, 0.01, 0), 0)
    np.testing.assert_allclose(np.linalg.norm(shape.position[0], axis=1), 0.01, rtol=1e-5)
    assert shape.area.sum() == pytest.approx(4 * np.pi * 1e-4, rel=1e-4)


def test_stars_of_swapped_roles_are_mirror_images():
    heavy, light = roche.surface(0.4, roche.level_of_radius(0.4, 0.3, 0), 0), roche.surface(2.5, roche.level_of_radius(2.5, 0.3, 1), 1)
    np.testing.assert_allclose(heavy.position[0] * [-1, 1, 1] + [1, 0, 0], light.position[0], atol=1e-5)


# ------------------------------------------------------------------------------------------------ discs


def lost(distance, radius, occulter, u):
    """Share of a disc's light behind another one: rings of a disc I = 1 - u (1 - mu), each by the angle that is covered."""
    rho = (np.arange(4000) + 0.5) / 4000 * radius
    light = (1.0 - u * (1.0 - np.sqrt(1.0 - (rho / radius) ** 2))) * rho
    covered = np.arccos(np.clip((distance**2 + rho**2 - occulter**2) / (2.0 * distance * rho + 1e-300), -1, 1)) / np.pi
    return float(light @ covered / light.sum())


def overlap(distance, r1, r2):
    """Area that two discs share: two circular segments."""
    if distance <= abs(r1 - r2):
        return np.pi * min(r1, r2) ** 2
    if distance >= r1 + r2:
        return 0.0
    a1, a2 = (np.arccos((distance**2 + a**2 - b**2) / (2 * distance * a)) for a, b in ((r1, r2), (r2, r1)))
    return r1**2 * (a1 - np.sin(2 * a1) / 2) + r2**2 * (a2 - np.sin(2 * a2) / 2)


def discs(pair, radii, phases, darkening):
    """Magnitudes of two spheres relative to no eclipse; `darkening` None takes uniform discs and the exact shared area."""
    light = [float(roche_light.blackbody(MICRON, kelvin)) * r**2 for kelvin, r in zip(pair.temperatures, radii, strict=True)]
    if darkening is not None:
        light = [one * (1 - u / 3) for one, u in zip(light, darkening, strict=True)]
    flux = []
    for phase in phases:
        along = np.cos(2 * np.pi * phase) * np.sin(np.radians(pair.inclination))
        distance, back = np.sqrt(1 - along**2), 0 if along > 0 else 1
        if darkening is None:
            share = overlap(distance, *radii) / (np.pi * radii[back] ** 2)
        else:
            share = lost(distance, radii[back], radii[1 - back], darkening[back])
        flux.append(sum(light) - light[back] * share)
    return -2.5 * np.log10(np.array(flux) / sum(light))


ECLIPSES = np.concatenate([np.linspace(0, 0.06, 31), np.linspace(0.44, 0.5, 31), [0.25]])
PAIRS = {
    "total and annular": ((0.10, 0.06), (6500.0, 5000.0), 90.0),
    "partial, equal stars": ((0.10, 0.10), (6000.0, 6000.0), 87.0),
    "partial, unequal": ((0.12, 0.05), (6000.0, 5500.0), 86.0),
    "hot and small": ((0.06, 0.10), (7500.0, 5000.0), 89.0),
}


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize(("radii", "temperatures", "inclination"), PAIRS.values(), ids=PAIRS)
def test_distant_stars_eclipse_as_discs_do(radii, temperatures, inclination, uniform, monkeypatch):
    if uniform:
        monkeypatch.setattr(roche_light, "limb_darkening", lambda *_: 0.0)
        darkening = None
    else:
        darkening = [roche_light.limb_darkening(MICRON, kelvin) for kelvin in temperatures]
    pair = binary(1.0, radii, temperatures, inclination)
    flux = light_curve(pair, ECLIPSES)[0]
    difference = -2.5 * np.log10(flux / flux[-1]) - discs(pair, radii, ECLIPSES, darkening)
    # Elements of 8 % of the radius blur the limb; distortion and heating add a millimagnitude.
    assert np.abs(difference).max() < 0.015
    assert np.std(difference) < 0.003


def test_equal_stars_lose_at_most_half_of_their_light():
    # 2.5 lg 2 = 0.7526 mag for two equal spheres (Hilditch 2001, An introduction to close binary stars, section 5).
    curve = magnitudes(light_curve(binary(1.0, (0.08, 0.08), (6000.0, 6000.0), 90.0), np.array([0.0, 0.25, 0.5])))[0]
    assert 0.735 < curve[0] <= 0.7526
    assert curve[0] == pytest.approx(curve[2], abs=2e-3)


@settings(max_examples=8, deadline=None)
@given(q=st.floats(0.3, 1.0), r0=st.floats(0.03, 0.06), r1=st.floats(0.03, 0.06), t0=st.floats(4500, 8000), t1=st.floats(4500, 8000))
def test_depths_stay_below_the_light_of_the_hidden_star(q, r0, r1, t0, t1):
    pair = binary(q, (r0, r1), (t0, t1), 90.0)
    flux = light_curve(pair, np.array([0.0, 0.25, 0.5]))[0]
    mean = [roche_light.blackbody(MICRON, t) * (1 - roche_light.limb_darkening(MICRON, t) / 3) for t in (t0, t1)]
    light = [r**2 * brightness for r, brightness in zip((r0, r1), mean, strict=True)]
    for back, depth in ((0, 1 - flux[0] / flux[1]), (1, 1 - flux[2] / flux[1])):
        # What is covered is at least as bright as the disc on average, and no more than the whole star is hidden.
        area = min(1.0, ((r1, r0)[back] / (r0, r1)[back]) ** 2)
        assert area * light[back] / sum(light) - 0.005 < depth < light[back] / sum(light) + 0.005
    # The smaller star covers the middle of the larger one, up to 1 / (1 - u/3) of the mean, and vanishes whole: the
    # ratio of depths is that of surface brightnesses.
    transit, total = (0, 1) if r0 > r1 else (1, 0)
    depths = 1 - flux[0] / flux[1], 1 - flux[2] / flux[1]
    ratio = float(depths[transit] / depths[total] / (mean[transit] / mean[total]))
    brightest = 1 / (1 - roche_light.limb_darkening(MICRON, (t0, t1)[transit]) / 3)
    assert 0.95 < ratio < 1.05 * brightest


# ------------------------------------------------------------------------------------------------ close stars


@pytest.mark.parametrize(("temperature", "exponent"), [(6000.0, 0.08), (9000.0, 0.25)])
def test_ellipsoidal_variation_has_morris_amplitude(temperature, exponent):
    # Morris 1985 (ApJ 295, 143) and Morris & Naftilan 1993 (ApJ 419, 344): L = 1 - a q r^3 sin^2 i cos(2 phase) with
    # a = 0.15 (15 + u) (1 + y) / (3 - u), to first order; y is the gravity darkening in the band.
    q, radius, inclination = 1.0, 0.12, 75.0
    level = float(roche.level_of_radius(q, radius, 0)[0])
    tiny = float(roche.level_of_radius(q, 0.005, 1)[0])
    curve = light_curve(Binary(q, (level, tiny), (temperature, 2600.0), inclination), np.arange(32) / 32)[0]
    measured = -2.0 * np.fft.rfft(curve)[2].real / np.fft.rfft(curve)[0].real
    u = roche_light.limb_darkening(MICRON, temperature)
    x = roche_light.SECOND / (MICRON * temperature)
    y = exponent * x / (1.0 - np.exp(-x))
    expected = 0.15 * (15.0 + u) * (1.0 + y) / (3.0 - u) * q * radius**3 * np.sin(np.radians(inclination)) ** 2
    assert measured == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("temperature", [5500.0, 9000.0])
def test_poles_are_hotter_than_the_neck_and_the_mean_flux_is_kept(temperature):
    q = 0.4
    inner = roche.critical(q)[0]
    star, other = roche.surface(q, inner, 1), roche.surface(q, roche.level_of_radius(q, 0.01, 0), 0)
    local = roche_light.shine(star, temperature, other, 2600.0, ("g",)).temperature[0]
    height, towards = np.abs(star.position[0, :, 2]), star.position[0, :, 0]
    aside = np.abs(star.position[0, :, 1])
    pole, side, back, neck = local[height.argmax()], local[aside.argmax()], local[towards.argmax()], local[towards.argmin()]
    assert pole > side > back > neck
    assert pole == pytest.approx(local.max(), rel=0.005)
    # T ~ g^beta between any two elements (von Zeipel 1924, Lucy 1967).
    beta = 0.08 if temperature < 6700 else 0.25
    slope = np.polyfit(np.log(star.gravity[0]), np.log(local), 1)[0]
    assert slope == pytest.approx(beta, abs=0.003)
    assert np.average(local**4, weights=star.area[0]) == pytest.approx(temperature**4, rel=0.01)


def test_a_hot_star_brightens_the_face_of_a_cool_one(monkeypatch):
    # The cool star shows its heated face about phase 0.5, before and after it goes behind, its dark back at phase 0.
    phases, bands = np.linspace(0, 1, 65), ("g", "i")
    pair = binary(0.7, (0.1, 0.15), (9000.0, 4500.0), 60.0)
    monkeypatch.setattr(roche_light, "albedo", lambda kelvin: 0.5 * (kelvin < 5000.0))  # of the cool star alone
    heated = light_curve(pair, phases, bands)
    monkeypatch.setattr(roche_light, "albedo", lambda _: 0.0)
    cold = light_curve(pair, phases, bands)
    added = (heated - cold) / cold.mean(axis=1, keepdims=True)
    assert (added.argmax(axis=1) == 32).all()
    assert (np.diff(added[:, :33], axis=1) > -1e-6).all()
    np.testing.assert_allclose(added, added[:, ::-1], atol=1e-6)
    assert added[1, 32] > added[0, 32] > 0.005  # the heated face is cooler than the hot star, hence redder
    assert (added[:, 32] > 5 * added[:, 0]).all()


def test_heating_adds_the_light_that_falls_on_the_star():
    # Energy: the extra flux over the surface is the albedo times the share of the sky that the star covers, (r / 2d)^2.
    q, radius = 0.7, 0.05
    star, other = (roche.surface(q, roche.level_of_radius(q, radius, k), k) for k in (1, 0))
    for temperature, albedo in ((5000.0, 0.5), (8000.0, 1.0)):
        lit = roche_light.shine(star, temperature, other, 10_000.0, ("g",)).temperature[0]
        extra = np.sum(star.area[0] * (lit**4 - temperature**4)) / (4 * np.pi * radius**2 * 10_000.0**4)
        assert extra == pytest.approx(albedo * radius**2 / 4, rel=0.02)


def test_the_heated_face_has_lamberts_phases(monkeypatch):
    # Far away and without limb darkening, light that falls on a sphere as cos(theta) and leaves it so adds
    # 2/3 pi r^2 [sin a + (pi - a) cos a] / pi at the angle a from full phase (Lambert 1760; Russell 1916, ApJ 43, 173).
    monkeypatch.setattr(roche_light, "limb_darkening", lambda *_: 0.0)
    radius, hot, cool, inclination = 0.02, 6500.0, 6000.0, 50.0
    pair, phases = binary(1.0, (radius, radius), (hot, cool), inclination), np.arange(1, 32) / 32
    monkeypatch.setattr(roche_light, "albedo", lambda kelvin: 0.5 * (kelvin < 6200.0))
    added = light_curve(pair, phases)[0]
    monkeypatch.setattr(roche_light, "albedo", lambda _: 0.0)
    added = added - light_curve(pair, phases)[0]
    angle = np.arccos(-np.sin(np.radians(inclination)) * np.cos(2 * np.pi * phases))
    received = 0.5 * (hot / cool) ** 4 * radius**2  # in units of the star's own flux, at its subsolar point
    x = roche_light.SECOND / (MICRON * cool)
    steep = x / (1 - np.exp(-x)) / 4  # d ln B / d ln T^4
    full = 2 / 3 * np.pi * radius**2 * roche_light.blackbody(MICRON, cool) * received * steep
    expected = full * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
    np.testing.assert_allclose(added, expected, atol=0.05 * full)


def test_contact_stars_have_two_minima_and_keep_their_colour_while_unequal_detached_ones_do_not():
    inner, outer = roche.critical(0.5)
    level = inner - 0.3 * (inner - outer)
    phases = np.arange(65) / 128
    contact = magnitudes(light_curve(Binary(0.5, (level, level), (6000.0, 5900.0), 80.0), phases, ("g", "i")))
    detached = magnitudes(light_curve(binary(0.8, (0.2, 0.2), (7500.0, 4500.0), 85.0), phases, ("g", "i")))
    assert 0.4 < np.ptp(contact[0]) < 1.0
    assert contact[0].argmin() in range(28, 38)
    assert np.ptp(contact[0] - contact[1]) < 0.06
    assert np.ptp(detached[0] - detached[1]) > 0.2


def test_algols_have_a_deep_and_a_shallow_minimum():
    inner = roche.critical(0.3)[0]
    level = float(roche.level_of_radius(0.3, 0.2, 0)[0])
    curve = magnitudes(light_curve(Binary(0.3, (level, inner), (9000.0, 4800.0), 87.0), np.array([0.0, 0.25, 0.5])))[0]
    assert curve[0] > 1.5
    assert 0.0 <= curve[2] < 0.2
    assert roche.surface(0.3, inner, 1).volume_radius[0] == pytest.approx(roche.lobe_radius(1 / 0.3), rel=0.01)


# ------------------------------------------------------------------------------------------------ eccentric orbits


@settings(max_examples=50)
@given(mean=st.floats(-20, 20), e=st.floats(0, 0.8))
def test_keplers_equation(mean, e):
    anomaly = float(eccentric_anomaly(mean, e))
    assert anomaly - e * np.sin(anomaly) == pytest.approx(mean, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(e=st.floats(0.0, 0.7), omega=st.floats(0, 360))
def test_eclipses_are_as_far_apart_as_theory_says(e, omega):
    # X - sin X = 2 pi (t_2 - t_1) / P with X = pi + 2 arctan(e cos w / sqrt(1 - e^2)) for an edge-on orbit
    # (Sterne 1940; Hilditch 2001, equation 5.67); to first order 1/2 + 2 e cos(w) / pi.
    pair = Binary(1.0, (20.0, 20.0), (6000.0, 6000.0), 90.0, e, omega)
    half = brentq(lambda phase: orbit(pair, np.array([phase]))[0][0] % (2 * np.pi) - np.pi, 1e-6, 1 - 1e-6)
    x = np.pi + 2 * np.arctan(e * np.cos(np.radians(omega)) / np.sqrt(1 - e**2))
    assert half == pytest.approx((x - np.sin(x)) / (2 * np.pi), abs=1e-6)
    assert half == pytest.approx(0.5 + 2 * e * np.cos(np.radians(omega)) / np.pi, abs=0.05 + e**3)


def test_light_curve_of_an_eccentric_orbit_eclipses_there():
    e, omega = 0.3, 40.0
    pair = binary(0.9, (0.08, 0.07), (6200.0, 5800.0), 90.0, e, omega)
    phases = np.arange(512) / 512
    curve = magnitudes(light_curve(pair, phases))[0]
    x = np.pi + 2 * np.arctan(e * np.cos(np.radians(omega)) / np.sqrt(1 - e**2))
    second = (x - np.sin(x)) / (2 * np.pi)
    deep = curve > 0.02
    around = [np.abs((phases - centre + 0.5) % 1 - 0.5) < 0.1 for centre in (0.0, second)]
    assert deep.sum() == sum((deep & near).sum() for near in around)
    # Widths: (1 + e sin w) / (1 - e sin w) = (second / first), to first order in the radii.
    width = [(deep & near).sum() for near in around]
    k = e * np.sin(np.radians(omega))
    assert width[1] / width[0] == pytest.approx((1 + k) / (1 - k), rel=0.08)
    centre = (phases[around[1]] * curve[around[1]]).sum() / curve[around[1]].sum()
    assert centre == pytest.approx(second, abs=0.004)


def test_a_nearly_circular_orbit_is_the_circular_one():
    phases = np.arange(32) / 32
    flux = [light_curve(binary(0.7, (0.2, 0.15), (6000.0, 5000.0), 80.0, e, 30.0), phases)[0] for e in (0.0, 1e-4)]
    np.testing.assert_allclose(flux[1], flux[0], rtol=5e-3)


def test_stars_are_more_distorted_at_periastron():
    # Face-on there are neither eclipses nor ellipsoidal variation; a heated, stretched star still shines more when closer.
    pair = binary(1.0, (0.12, 0.12), (6000.0, 6000.0), 0.0, 0.4, 0.0)
    turn, separation = orbit(pair, np.arange(64) / 64)
    flux = light_curve(pair, np.arange(64) / 64)[0]
    assert separation.min() == pytest.approx(0.6, abs=0.01)
    assert separation.max() == pytest.approx(1.4, abs=0.01)
    assert abs(int(flux.argmax()) - int(separation.argmin())) <= 1
    assert np.all(np.diff(np.unwrap(turn)) > 0)


# ------------------------------------------------------------------------------------------------ bad input


def test_values_out_of_range_are_named():
    levels = binary(0.5, (0.2, 0.1)).levels
    for arguments, words in (
        ((0.0, levels, (6e3, 6e3)), r"mass ratio 0\.0; choose 0\.01 to 100"),
        ((float("nan"), levels, (6e3, 6e3)), "mass ratio nan"),
        ((0.5, levels, (6e3, 100.0)), r"temperature 100\.0 K; choose 2500 to 50000 K"),
        ((0.5, levels, (6e3, 6e3), 91.0), r"Binary\.inclination: 91\.0 deg; choose 0 to 90"),
        ((0.5, levels, (6e3, 6e3), -5.0), r"Binary\.inclination: -5\.0 deg"),
        ((0.5, levels, (6e3, 6e3), 80.0, 0.9), r"Binary\.eccentricity: 0\.9; choose 0 to 0\.8"),
        ((0.5, levels, (6e3, 6e3), 80.0, 0.1, float("inf")), r"Binary\.periastron: inf"),
        ((0.5, (1.0, 1.0), (6e3, 6e3)), "critical .* and .*; only a contact binary"),
        ((0.5, (levels[0], 2.7), (6e3, 6e3)), "only a contact binary"),
    ):
        with pytest.raises(DataError, match=words):
            Binary(*arguments)


def test_radii_beyond_the_lobe_are_refused():
    for radius in (0.6, -0.1, float("nan")):
        with pytest.raises(DataError, match=r"of star 0, whose lobe has 0\.\d+; choose positive radii within the lobe"):
            roche.level_of_radius(0.5, radius, 0)
    with pytest.raises(DataError, match="whose lobe has"):  # fits on average, but not at periastron
        light_curve(binary(1.0, (0.3, 0.1), (6e3, 6e3), 80.0, 0.5, 0.0), np.array([0.1]))


def test_unknown_bands_and_phases_are_refused():
    pair = binary(0.5, (0.2, 0.1))
    with pytest.raises(BandError, match="bands K; choose from u, g, r, i, z, y"):
        light_curve(pair, np.array([0.0]), ("g", "K"))
    with pytest.raises(DataError, match=r"phases \(2,\), finite 1"):
        light_curve(pair, np.array([0.0, np.nan]))

"""Asteroids: one epoch in the main belt, several for slow movers, their trails and what is rendered of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyreel.errors import ConfigError
from skyreel.hydra_glue import compose
from skyreel.simulate.chain import Simulation
from skyreel.simulate.render import grid_size, render
from skyreel.simulate.run import build, simulation_config
from skyreel.simulate.scene import Scene
from skyreel_psf.analytic import moffat
from skyreel_sources.asteroid import MAIN_BELT, REACH, Asteroid, opposition_rate

SCALE = 0.27
STAMP = 21 * SCALE


def simulation(*overrides: str) -> Simulation:
    given = ["source=[asteroid]", "survey.detection=limiting_mag", "source.asteroid.host_fraction=0", *overrides]
    return build(simulation_config(compose("simulate", given)))


@pytest.mark.parametrize("epoch", ["nearest", "uniform"])
def test_asteroid_shines_once_at_its_magnitude(epoch):
    source = Asteroid(epoch=epoch)
    rng = np.random.default_rng(0)
    mjd = np.sort(rng.uniform(57070, 57095, (2000, 20)), axis=1)
    params = source.sample(2000, rng, window=mjd[:, [0, -1]])
    light = source.light_curve(params, mjd, np.full(mjd.shape, 1, np.int8))
    lit = np.isfinite(light.mag)
    np.testing.assert_array_equal(lit.sum(axis=1), 1)
    np.testing.assert_allclose(light.mag[lit], params["mean_mag"], rtol=0, atol=1e-12)
    assert light.offset is None
    assert light.trail is None
    shuffled = rng.permutation(20)
    again = source.light_curve(params, mjd[:, shuffled], np.full(mjd.shape, 1, np.int8)).mag
    np.testing.assert_array_equal(again, light.mag[:, shuffled])


def test_asteroid_shines_at_the_epoch_nearest_to_its_date():
    source = Asteroid(epoch="nearest")
    rng = np.random.default_rng(0)
    mjd = np.sort(rng.uniform(57070, 57095, (500, 20)), axis=1)
    params = source.sample(500, rng, window=mjd[:, [0, -1]])
    lit = np.isfinite(source.light_curve(params, mjd, np.zeros(mjd.shape, np.int8)).mag)
    gap = np.abs(mjd - params["date"][:, None])
    np.testing.assert_array_equal(gap[lit], gap.min(axis=1))


def test_uniform_asteroids_do_not_prefer_epochs_beside_gaps():
    mjd = np.tile([0.0, 0.01, 0.02, 10.0, 10.01, 10.02], (12_000, 1))
    params = Asteroid(epoch="uniform").sample(12_000, np.random.default_rng(0), window=mjd[:, [0, -1]])
    band = np.zeros(mjd.shape, np.int8)
    share = {e: np.isfinite(Asteroid(epoch=e).light_curve(params, mjd, band).mag).mean(axis=0) for e in ("uniform", "nearest")}
    np.testing.assert_allclose(share["uniform"], 1 / 6, atol=0.015)
    assert share["nearest"][1] < 0.01


def test_colours_are_those_of_the_two_peaks_of_ivezic_2001():
    source = Asteroid()
    params = source.sample(4000, np.random.default_rng(1))
    band = np.full((4000, 1), 1, np.int8)
    g, r, i = (source.light_curve(params, np.zeros((4000, 1)), band * k).mag[:, 0] for k in (1, 2, 3))
    principal = 0.89 * (g - r) + 0.45 * (r - i) - 0.57
    np.testing.assert_allclose(principal[params["type"] == 0], -0.10, atol=0.02)
    np.testing.assert_allclose(principal[params["type"] == 1], 0.13, atol=0.02)
    assert params["type"].mean() == pytest.approx(0.6, abs=5 * np.sqrt(0.24 / 4000))


# --------------------------------------------------------------------------------------------------- motion


@given(axis=st.floats(1.5, 200.0))
def test_rate_at_opposition_is_that_of_two_circular_orbits(axis: float) -> None:
    hours = np.array([-1.0, 1.0]) / 24.0
    earth, body = (a * np.exp(2j * np.pi * hours / (365.25 * a**1.5)) for a in (1.0, axis))
    angle = np.angle(body - earth) * 180 / np.pi * 3600
    assert opposition_rate(np.array([axis]))[0] == pytest.approx(-(angle[1] - angle[0]) / 2, rel=1e-4)


def test_the_main_belt_crosses_a_stamp_in_ten_minutes_and_slow_movers_in_hours() -> None:
    # Kirkwood gaps: 4:1 at 2.06 au, 2:1 at 3.28 au.
    np.testing.assert_allclose(MAIN_BELT, [2.06, 3.28], atol=0.02)
    params = Asteroid(trail_rate=None, slow_fraction=0.5).sample(4000, np.random.default_rng(2))
    belt, far = (params["rate"][params["slow"] == slow] for slow in (False, True))
    minutes = STAMP / belt * 60
    assert 7.5 < minutes.min() < minutes.max() < 12.5
    assert 1.3 < far.min() < 1.5
    assert 4.0 < far.max() < 4.2
    assert params["slow"].mean() == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / 4000))


def test_asteroid_trail_and_motion():
    source = Asteroid(trail_rate=35.0, exptime=86.0)
    rng = np.random.default_rng(0)
    mjd = np.tile([0.0, 1 / 24, 2 / 24], (50, 1))
    params = source.sample(50, rng, window=mjd[:, [0, -1]])
    light = source.light_curve(params, mjd, np.ones(mjd.shape, np.int8))
    np.testing.assert_allclose(light.trail, 35.0 * 86.0 / 3600.0)  # 0.84 arcsec
    lit = np.isfinite(light.mag)
    np.testing.assert_array_equal(lit.sum(axis=1), 1)
    np.testing.assert_array_equal(light.offset[lit], 0.0)
    step = np.linalg.norm(np.diff(light.offset, axis=1), axis=-1)
    np.testing.assert_allclose(step, 35.0)
    heading = np.arctan2(*(light.offset[:, 2] - light.offset[:, 0]).T[::-1]) % (2 * np.pi)
    np.testing.assert_allclose(heading, params["direction"], atol=1e-9)


def test_slow_movers_shine_wherever_they_are_near_and_move_at_their_rate() -> None:
    source = Asteroid(slow_fraction=1.0)
    rng = np.random.default_rng(3)
    mjd = 57070 + np.array([0, 1.6, 3.4, 5.0, 24.0, 26.0, 240.0]) / 24
    mjd = np.tile(mjd, (3000, 1))
    params = source.sample(3000, rng, window=mjd[:, [0, -1]])
    light = source.light_curve(params, mjd, np.full(mjd.shape, 1, np.int8))
    distance = np.linalg.norm(light.offset, axis=-1)
    np.testing.assert_array_equal(np.isfinite(light.mag), distance < REACH)
    np.testing.assert_allclose(np.where(np.isfinite(light.mag), light.mag - params["mean_mag"][:, None], 0), 0, atol=1e-12)
    at_first = distance[:, 0] == 0
    np.testing.assert_allclose(distance[at_first, 1], params["rate"][at_first] * 1.6)
    assert 2.1 < distance[at_first, 1].min() < distance[at_first, 1].max() < 6.7
    np.testing.assert_allclose(light.trail[:, 0], params["rate"] * 86 / 3600)
    some = rng.permutation(3000)[:50]
    alone = source.light_curve({name: column[some] for name, column in params.items()}, mjd[some], np.ones((50, 7), np.int8))
    np.testing.assert_array_equal(alone.offset, light.offset[some])


@pytest.fixture(scope="module")
def slow() -> tuple[Simulation, Scene]:
    sim = simulation("source.asteroid.slow_fraction=1", "magnitudes=wide", "psf=gaussian", "simulation.centring=per_object")
    return sim, sim.scene("test", "asteroid", 0)


def test_slow_movers_alert_in_the_middle_of_their_stamp_and_leave_it(slow: tuple[Simulation, Scene]) -> None:
    scene = slow[1]
    rows, first = np.arange(len(scene.true)), scene.dates.first_detection
    assert (first >= 0).all()
    moved = scene.centre - scene.cut.place
    np.testing.assert_allclose(moved[rows, first], 0, atol=1e-5)
    hours = (scene.true.mid_mjd - scene.true.mid_mjd[rows, first][:, None]) * 24
    expected = np.abs(hours) * scene.params["rate"][:, None] / SCALE
    near = (scene.flux > 0) & scene.true.mask
    np.testing.assert_allclose(np.linalg.norm(moved, axis=-1)[near], expected[near], rtol=1e-4, atol=1e-3)
    # The next visit comes after some two hours: 2 to 8 arcsec, in a stamp that ends at 2.8.
    images = (near & (np.abs(scene.centre).max(axis=-1) < 10)).sum(axis=1)
    assert images.min() == 1
    assert images.max() <= 3
    assert (images >= 2).sum() >= 5


def test_what_has_left_the_stamp_is_dark(slow: tuple[Simulation, Scene]) -> None:
    sim, scene = slow
    light = np.zeros(scene.flux.shape)
    for part in sim.imaging.light(scene, scene.flux):
        light[part.rows, : part.exposures.shape[1]] = part.source.sum(dim=(2, 3)).numpy()
    place = np.abs(scene.centre).max(axis=-1)
    middle, outside = (scene.flux > 0) & (place < 1), (scene.flux > 0) & (place > 20)
    np.testing.assert_allclose(light[middle], scene.flux[middle], rtol=0.02)
    assert outside.sum() > 20
    assert np.abs(light[outside] / scene.flux[outside]).max() < 1e-4


@pytest.mark.parametrize("distance", [8.0, 12.0, 16.0, 20.0, 23.5])
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_light_that_leaves_the_stamp_does_not_come_back_on_the_other_side(distance: float, angle: float) -> None:
    at = distance * np.array([np.cos(angle), np.sin(angle)])

    def stamp(size: int) -> np.ndarray:
        grid = grid_size(size)
        basis = moffat(4.5, 4.2, grid, 2)[:1]
        length = np.array([[[3.1 * np.cos(angle), 3.1 * np.sin(angle)]]])
        one = np.ones((1, 1, 1))
        return render(basis, one, one[0], at[None, None], [0], size, 2, grid, trail=length)[0, 0].double().numpy()

    peak = stamp(81).max()
    wide = stamp(81)[30:51, 30:51]
    assert np.abs(stamp(21) - wide).max() < 1e-3 * peak


def test_a_trail_is_as_long_as_the_motion_within_the_exposure() -> None:
    sim = simulation("source.asteroid.trail_rate=70", "magnitudes=wide", "psf=gaussian")
    scene = sim.scene("test", "asteroid", 0)
    x = np.arange(21) - 10
    lengths = []
    for light in sim.imaging.light(scene, scene.flux):
        for k, row in enumerate(light.rows):
            first = scene.dates.first_detection[row]
            if scene.true.psf_fwhm[row, first] > 3.8:  # the wings of wide ones leave the stamp
                continue
            image = light.source[k, first].double().numpy() / scene.flux[row, first]
            grid = np.stack(np.meshgrid(x, x), axis=-1) - scene.centre[row, first]
            cos, sin = np.cos(scene.params["direction"][row]), np.sin(scene.params["direction"][row])
            along, across = ((image * (grid @ axis) ** 2).sum() for axis in ((cos, sin), (-sin, cos)))
            # A uniform line of length L adds L^2 / 12 to the second moment along it and nothing across.
            lengths.append(np.sqrt(12 * (along - across)))
    assert len(lengths) > 10
    np.testing.assert_allclose(lengths, 70 * 86 / 3600 / SCALE, rtol=0.03)  # 6.2 px


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"trail_rate": -1.0}, r"Asteroid.trail_rate: -1.0; choose 0 to 150 arcsec / h, or null"),
        ({"trail_rate": 500.0}, "Asteroid.trail_rate"),
        ({"trail_rate": float("nan")}, "Asteroid.trail_rate"),
        ({"exptime": 0.0}, "Asteroid.exptime"),
        ({"epoch": "last"}, "'last'.*choose 'nearest' or 'uniform'"),
        ({"slow_fraction": 1.5}, "Asteroid.slow_fraction.*1.5.*0 to 1"),
        ({"slow_fraction": float("nan")}, "Asteroid.slow_fraction"),
        ({"slow_axis_min": 1.0}, "Asteroid.slow_axis_min, slow_axis_max.*1.0, 100.0.*5 au"),
        ({"slow_axis_max": 20.0}, "Asteroid.slow_axis_min, slow_axis_max"),
        ({"slow_axis_max": float("inf")}, "Asteroid.slow_axis_min, slow_axis_max"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Asteroid(**options)  # type: ignore[arg-type]

"""Contracts that all seven classes keep: shapes, purity, typed errors, options."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from scipy.special import erf

from skyreel.errors import BandError, ConfigError, DataError, SimulationError
from skyreel.interfaces import CLASSES
from skyreel_sources import skyreel_sources
from skyreel_sources.asteroid import Asteroid
from skyreel_sources.cepheid import Cepheid
from skyreel_sources.constant import NonVariable
from skyreel_sources.eclipsing_binary import EclipsingBinary
from skyreel_sources.galaxy import Galaxy
from skyreel_sources.magnitudes import LIMITS, SLOPE, density
from skyreel_sources.rr_lyrae import RRLyrae
from skyreel_sources.supernova import Supernova

CONF = Path(__file__).resolve().parents[1] / "conf" / "source"
COMPONENTS = {component.name: component.load() for component in skyreel_sources()}
STARS = (RRLyrae, Cepheid, EclipsingBinary, NonVariable, Asteroid)
PERIODIC = (RRLyrae, Cepheid, EclipsingBinary)
WINDOW = (57070.0, 57095.0)


def draw(source, n, seed=0):
    return source.sample(n, np.random.default_rng(seed), window=np.tile(WINDOW, (n, 1)))


def epochs(source, n, t=28, seed=1):
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(*WINDOW, (n, t)), axis=1), rng.integers(0, len(source.bands), (n, t)).astype(np.int8)


def test_all_seven_classes_are_offered():
    assert tuple(COMPONENTS) == CLASSES


@pytest.mark.parametrize("name", CLASSES)
def test_defaults_equal_the_config_file(name):
    cls = COMPONENTS[name]
    text = (CONF / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith(f"# @package source.{name}\n")
    config = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    assert config.pop("name") == name
    run = OmegaConf.to_container(OmegaConf.load(CONF.parent / "base.yaml"), resolve=False)
    for option, value in config.items():  # keys of the run: magnitudes, supernova_hosts
        if isinstance(value, str) and value.startswith("${"):
            config[option] = run[value[2:-1]]
    assert config == OmegaConf.to_container(OmegaConf.structured(cls))
    assert config == {field.name: field.default for field in dataclasses.fields(cls)}


@pytest.mark.parametrize("name", CLASSES)
def test_every_option_is_documented_with_its_unit(name):
    cls = COMPONENTS[name]
    text = "".join(inspect.getdoc(base) or "" for base in cls.__mro__)
    for field in dataclasses.fields(cls):
        unit = field.metadata.get("unit")
        assert f"{field.name} : " in text
        assert unit is None or any(line.startswith(f"{field.name} : ") and line.endswith(f", {unit}") for line in text.splitlines())


@pytest.mark.parametrize("name", CLASSES)
def test_shapes_and_values(name):
    source = COMPONENTS[name]()
    params = draw(source, 300)
    mjd, band = epochs(source, 300)
    mag = source.light_curve(params, mjd, band).mag
    assert mag.shape == (300, 28)
    assert mag.dtype == np.float64
    assert not np.isnan(mag).any()
    assert not np.isneginf(mag).any()
    assert all(len(column) == 300 and column.ndim == 1 for column in params.values())


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("n", [0, 1])
def test_empty_and_single_batches(name, n):
    source = COMPONENTS[name]()
    mjd, band = epochs(source, n, 5)
    assert source.light_curve(draw(source, n), mjd, band).mag.shape == (n, 5)


@pytest.mark.parametrize("name", CLASSES)
def test_same_generator_state_gives_the_same_table(name):
    source = COMPONENTS[name]()
    first, second = draw(source, 64, 7), draw(source, 64, 7)
    assert first.keys() == second.keys()
    for column in first:
        np.testing.assert_array_equal(first[column], second[column])


@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_pure_in_order_of_epochs_and_objects(name, seed):
    source = COMPONENTS[name]()
    params = draw(source, 20, seed)
    mjd, band = epochs(source, 20, 12, seed)
    rng = np.random.default_rng(seed)
    shuffle, pick = rng.permutation(12), rng.permutation(20)
    mag = source.light_curve(params, mjd, band).mag
    rows = {key: column[pick] for key, column in params.items()}
    again = source.light_curve(rows, mjd[pick][:, shuffle], band[pick][:, shuffle]).mag
    np.testing.assert_allclose(again, mag[pick][:, shuffle], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "asteroid"])
def test_epochs_do_not_know_of_each_other(name):
    source = COMPONENTS[name]()
    params = draw(source, 50)
    mjd, band = epochs(source, 50)
    whole = source.light_curve(params, mjd, band).mag
    part = source.light_curve(params, mjd[:, 5:9], band[:, 5:9]).mag
    np.testing.assert_allclose(part, whole[:, 5:9], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", CLASSES)
def test_params_are_not_changed(name):
    source = COMPONENTS[name]()
    params = draw(source, 20)
    before = {key: column.copy() for key, column in params.items()}
    source.light_curve(params, *epochs(source, 20))
    for key, column in before.items():
        np.testing.assert_array_equal(params[key], column)


@pytest.mark.parametrize("name", CLASSES)
def test_wrong_epochs_raise(name):
    source = COMPONENTS[name]()
    params = draw(source, 4)
    mjd, band = epochs(source, 4)
    with pytest.raises(BandError, match="band index"):
        source.light_curve(params, mjd, np.full_like(band, len(source.bands)))
    with pytest.raises(BandError):
        source.light_curve(params, mjd, np.full_like(band, -1))
    with pytest.raises(DataError, match="objects, epochs"):
        source.light_curve(params, mjd[:3], band[:3])
    with pytest.raises(DataError, match="not finite"):
        source.light_curve(params, np.where(mjd == mjd[0, 0], np.nan, mjd), band)


@pytest.mark.parametrize("cls", PERIODIC)
def test_negative_period_raises(cls):
    source = cls()
    params = draw(source, 4)
    params["period"] = -params["period"]
    with pytest.raises(DataError, match="period"):
        source.light_curve(params, *epochs(source, 4))


@pytest.mark.parametrize("cls", STARS)
@pytest.mark.parametrize(
    "options",
    [{"magnitudes": "bright"}, {"mag_min": 25.0}, {"mag_min": -1.0}, {"mag_max": 14.0}, {"mag_cut": 5.0}, {"host_fraction": 1.5}],
)
def test_star_options_out_of_range(cls, options):
    with pytest.raises(ConfigError):
        cls(**options)


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (RRLyrae, {"fraction_ab": -0.1}),
        (EclipsingBinary, {"detached_fraction": 2.0}),
        (Cepheid, {"period_min": 1.0}),
        (Cepheid, {"period_scatter": -1.0}),
        (Cepheid, {"period_centre": 90.0}),
        (Asteroid, {"trail_rate": -1.0}),
        (Asteroid, {"exptime": 0.0}),
        (Asteroid, {"epoch": "last"}),
        (Galaxy, {"offset": "edge"}),
        (Supernova, {"fraction_ia": 1.1}),
        (Supernova, {"redshift_max": 1.5}),
        (Supernova, {"redshift_max": 0.0}),
        (Supernova, {"rise_min": -1.0}),
        (Supernova, {"slow_rise_fraction": float("nan")}),
    ],
)
def test_options_out_of_range(cls, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        cls(**options)


def test_impossible_acceptance_says_so():
    with pytest.raises(SimulationError, match="acceptance_mag"):
        draw(Supernova(acceptance_mag=5.0), 4)


def test_host_policies():
    supernova = Supernova().host_policy
    assert (supernova.fraction, supernova.redshift, supernova.offset) == (0.7, "redshift", "light")
    assert (Galaxy().host_policy.fraction, Galaxy().host_policy.offset) == (1.0, "centre")
    assert Galaxy(offset="light").host_policy.offset == "light"
    for cls in STARS:
        policy = cls().host_policy
        assert (policy.fraction, policy.redshift, policy.offset) == (0.05, None, "chance")
    assert {name for name, cls in COMPONENTS.items() if cls.triggers} == {"supernova", "asteroid"}


def test_slope_of_the_exponential_is_that_of_the_power_law():
    mag = np.linspace(19, 22, 301)
    power = np.polyfit(mag, 12.1104 * np.log10(mag), 1)[0]
    assert pytest.approx(power, abs=0.002) == SLOPE


@pytest.mark.parametrize("law", LIMITS)
@pytest.mark.parametrize("cut", [21.5, 22.8])
def test_magnitudes_follow_their_law(law, cut):
    source = NonVariable(magnitudes=law, mag_cut=cut)
    mag = source.draw_mag(50_000, np.random.default_rng(3))
    low, high = LIMITS[law]
    grid = np.linspace(low, high, 4001)
    shape = {"paper": 10 ** (SLOPE * grid), "authors": grid**12.1104, "wide": np.ones_like(grid)}[law] * (1 - erf(grid - cut))
    cumulative = np.cumsum(shape) / shape.sum()
    worst = np.abs(np.searchsorted(np.sort(mag), grid) / len(mag) - cumulative).max()
    assert worst < 1.63 / np.sqrt(len(mag))  # Kolmogorov-Smirnov at 1 %
    assert low <= mag.min() < mag.max() <= high


def test_authors_law_gives_the_percentiles_of_their_simulator():
    quantiles = [5, 25, 50, 75, 95]
    deep = np.percentile(NonVariable(magnitudes="authors").draw_mag(200_000, np.random.default_rng(0)), quantiles)
    shallow = np.percentile(RRLyrae(magnitudes="authors").draw_mag(200_000, np.random.default_rng(0)), quantiles)
    np.testing.assert_allclose(deep, [18.3, 20.6, 21.8, 22.6, 23.5], atol=0.06)
    np.testing.assert_allclose(shallow, [17.3, 19.5, 20.6, 21.4, 22.3], atol=0.06)


@settings(max_examples=30, deadline=None)
@given(low=st.floats(12, 19), width=st.floats(0.5, 8), cut=st.floats(19, 26), law=st.sampled_from(sorted(LIMITS)))
def test_magnitudes_stay_in_any_range(low, width, cut, law):
    source = NonVariable(magnitudes=law, mag_min=low, mag_max=low + width, mag_cut=cut)
    mag = source.draw_mag(200, np.random.default_rng(0))
    assert (mag >= low).all()
    assert (mag <= low + width).all()
    assert (density(law, mag, cut) >= 0).all()

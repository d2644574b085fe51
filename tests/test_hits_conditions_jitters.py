"""Jitters of HiTS conditions: taking measurements apart, and the default simulation against real constant stars."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import DatasetError
from skyreel_hits import fit_jitters
from skyreel_hits.fit_jitters import components, excess, robust, variances

ROOT = Path(__file__).parents[1]
OBJECTS, EPOCHS, FIELDS = 300, 24, 6


def invented(sizes, seed=0, objects=OBJECTS):
    """Values (n, T) of normal parts of exposure, object and rest, and exposure numbers (n, T); 5 % are missing."""
    rng = np.random.default_rng(seed)
    exposure = (np.arange(objects) % FIELDS)[:, None] * EPOCHS + np.arange(EPOCHS)
    value = sizes[0] * rng.standard_normal(FIELDS * EPOCHS)[exposure] + sizes[1] * rng.standard_normal((objects, 1))
    value = value + sizes[2] * rng.standard_normal((objects, EPOCHS))
    return np.where(rng.random(value.shape) < 0.05, np.nan, value), exposure


@settings(max_examples=8, deadline=None)
@given(sizes=st.tuples(*[st.floats(0.005, 0.05)] * 3), seed=st.integers(0, 1000))
def test_parts_are_found_again(sizes, seed):
    found = variances(components(*invented(sizes, seed)))
    for part, size in zip(fit_jitters.PARTS, sizes, strict=True):
        # 144 exposures and 300 objects know a robust variance to about 20 %
        assert found[part] == pytest.approx(size**2, rel=0.6, abs=0.05 * max(sizes) ** 2), part


def test_noise_alone_has_no_common_parts():
    found = variances(components(*invented((0.0, 0.0, 0.03))))
    assert abs(found["exposure"]) < 0.1 * 0.03**2
    assert abs(found["object"]) < 0.1 * 0.03**2


def test_the_excess_is_what_the_twins_lack():
    sizes = {0: (0.05, 0.01, 0.04), 100: (0.03, 0.01, 0.02)}  # by seed: independent draws
    each = [[components(*invented(size, seed + k)) for k, size in sizes.items()] for seed in range(6)]
    found = [excess(*pair) for pair in each]
    for part, size in (("exposure", 0.04), ("rest", np.sqrt(0.04**2 - 0.02**2))):
        sizes, errors = np.array([item[part] for item in found]).T
        assert np.sqrt(np.mean(sizes**2)) == pytest.approx(size, abs=3 * errors.mean() / np.sqrt(6))  # three standard errors
        assert 0.3 < np.std(sizes) / errors.mean() < 3  # the errors told are those seen
    assert excess(*reversed(each[0]))["rest"][0] == 0


def test_few_stars_say_nothing_about_an_exposure():
    value, exposure = invented((0.05, 0.01, 0.02))
    lonely = np.where(np.arange(OBJECTS)[:, None] < 3, exposure + FIELDS * EPOCHS, exposure)
    found = components(value, lonely)
    assert np.isnan(found.exposure[FIELDS * EPOCHS :]).all()
    assert np.isnan(found.rest[:3]).all()
    with pytest.raises(DatasetError, match=r"15 constant stars of 8 frames.*none among 10 stars.*--data"):
        components(value[:10], exposure[:10])


def test_robust_variance():
    values = np.random.default_rng(0).standard_normal(100_000) * 3
    assert robust(values) == pytest.approx(9, rel=0.03)
    assert robust(np.r_[values, np.full(3000, 1e6), np.nan]) == pytest.approx(9, rel=0.1)


@pytest.mark.real_data
@pytest.mark.slow
def test_default_simulation_scatters_as_real_constants_do(data_dir):
    """Closure: twins under the default options show the parts that the simulation draws as large as the real stars do."""
    stars = fit_jitters.read_stars(data_dir / "hits2015a")
    shipped = yaml.safe_load((ROOT / "conf/simulation/default.yaml").read_text())
    options = {name: shipped[name] for name in fit_jitters.NONE}
    real, twins = (fit_jitters.measured(each) for each in (stars, fit_jitters.simulated(stars, options)))
    for quantity, part in (("magnitude", "exposure"), ("magnitude", "rest"), ("width", "exposure"), ("width", "object")):
        wanted, found = (np.sqrt(variances(each[quantity])[part]) for each in (real, twins))
        assert found == pytest.approx(wanted, rel=0.2), (quantity, part)


@pytest.mark.real_data
@pytest.mark.slow
def test_recommended_jitters_are_the_defaults(data_dir):
    """The options shipped lie within two standard errors of what the development fields say (rounding included)."""
    recommended, _ = fit_jitters.fit_jitters(fit_jitters.read_stars(data_dir / "hits2015a"))
    shipped = yaml.safe_load((ROOT / "conf/simulation/default.yaml").read_text())
    for name, (size, error) in recommended.items():
        assert abs(shipped[name] - size) < 2 * error + 0.0005, name

"""Distances between populations: equal to scipy's, honest about noise, over fields."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from skyreel.errors import DataError
from skyreel.evaluate.distances import distance

values = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


@given(values, values)
def test_distance_equals_scipy_with_ties(real, simulated):
    assert distance(real, simulated).d == pytest.approx(ks_2samp(real, simulated, method="asymp").statistic, abs=1e-12)


def test_equal_populations_lie_at_the_noise_and_shifted_ones_do_not():
    rng = np.random.default_rng(0)
    simulated = rng.normal(size=5000)
    same, shifted = distance(rng.normal(size=60), simulated), distance(rng.normal(1.0, 1.0, 60), simulated)
    assert 0.07 < same.noise < 0.14  # median of the KS distance of 60 objects: 0.83 / sqrt(60)
    assert same.d < 0.2
    assert shifted.interval[0] > 0.25 > shifted.noise


def test_fields_that_go_together_widen_the_interval():
    rng = np.random.default_rng(1)
    field = np.repeat(np.arange(8), 12)
    real = rng.normal(size=96) * 0.3 + rng.normal(size=8)[field]
    simulated = rng.normal(size=4000)
    (low, high), (narrow_low, narrow_high) = (distance(real, simulated, cluster).interval for cluster in (field, None))
    assert high - low > 1.5 * (narrow_high - narrow_low)


@pytest.mark.parametrize(
    ("real", "simulated", "cluster", "message"),
    [
        ([], [1.0], None, "real sample"),
        ([1.0], [np.nan], None, "simulated sample.*finite 0.*hand in finite values"),
        ([1.0, 2.0], [1.0], [1], "cluster.*one cluster for each of 2"),
    ],
)
def test_bad_samples_are_named(real, simulated, cluster, message):
    with pytest.raises(DataError, match=message):
        distance(real, simulated, cluster)

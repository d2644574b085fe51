"""Alerts of HiTS: by difference against the first night of a band, by limiting magnitude; and the dates of objects that raise them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import ConfigError, SimulationError
from skyreel.exposures import DTYPES
from skyreel.interfaces import LightCurve, Source
from skyreel.seeding import Seeds
from skyreel.simulate.dates import WindowRule, alerted
from skyreel.simulate.options import SimulationOptions
from skyreel_hits.alerts import DETECTIONS, RULES, by_difference, by_limiting_mag
from skyreel_hits.season import night_of
from skyreel_hits.survey import HiTS
from skyreel_sources.supernova import Supernova


def plain_difference(e, mags):
    """The rule, object by object and epoch by epoch."""
    out = np.zeros(e.shape, bool)
    for row in range(len(e)):
        nights = {}
        for t in np.flatnonzero(e.mask[row]):
            nights.setdefault((e.band[row, t], night_of(e.mjd[row, t])), []).append(10 ** (-0.4 * mags[row, t]))
        for t in np.flatnonzero(e.mask[row]):
            first = min(night for band, night in nights if band == e.band[row, t])
            gain = 10 ** (-0.4 * mags[row, t]) - np.mean(nights[e.band[row, t], first])
            out[row, t] = gain > 10 ** (-0.4 * np.float64(e.limiting_mag[row, t]))
    return out


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), filters=st.sampled_from([["g"], ["g", "r"], ["g", "r", "i"]]))
def test_difference_equals_the_plain_rule(seed, filters):
    survey = HiTS(filters=filters, n_fields=5)
    exposures = survey.sample(6, Seeds(seed))
    rng = np.random.default_rng(seed)
    exposures = exposures.compact(rng.random(exposures.shape) < 0.8)
    mags = np.where(rng.random(exposures.shape) < 0.1, np.inf, rng.uniform(20, 25, exposures.shape))
    np.testing.assert_array_equal(survey.detect(exposures, mags), plain_difference(exposures, mags))


def test_a_red_star_raises_no_alert():
    # brighter in r and i than in g at all times: a reference over all bands would call every r image a rise
    exposures = HiTS(filters=["g", "r", "i"], n_fields=20).sample(40, Seeds(0))
    star = np.array([20.0, 18.6, 17.4])[exposures.band]
    assert not by_difference(exposures, star).any()
    assert by_limiting_mag(exposures, star).any()


def test_a_fading_supernova_raises_none_and_a_rising_one_loses_its_first_light():
    exposures = HiTS(max_seeing=None).sample(20, Seeds(3))
    days = exposures.mjd - exposures.mjd[:, :1]
    assert not by_difference(exposures, 20 + 0.05 * days).any()
    # a rise of 0.1 mag a day from 22.5: less flux than the whole, so the alert is later
    rising = 22.5 - 0.1 * days
    first = [rule(exposures, rising).argmax(axis=1) for rule in RULES.values()]
    assert (first[0] > first[1]).all()


def test_padding_never_alerts():
    exposures = HiTS().sample(5, Seeds(0))
    exposures = exposures.replace(mask=exposures.mask & (np.arange(exposures.shape[1]) < 4))
    flash = np.where(np.arange(exposures.shape[1]) >= 4, 10.0, np.inf) * np.ones(exposures.shape)
    for rule in RULES.values():
        assert not rule(exposures, flash).any()


def test_rules_are_the_options():
    assert tuple(RULES) == DETECTIONS
    with pytest.raises(ConfigError, match=r"survey.detection.*'measured'.*'?difference'? or '?limiting_mag'?"):
        HiTS(detection="measured")


@dataclass
class Rare(Source):
    """A flash at a constant magnitude; only a share of all objects enters the catalogue."""

    share: float = 0.02
    triggers = True

    def sample(self, n, rng, *, window=None):
        return {"chance": rng.random(n)}

    def light_curve(self, params, mjd, band):
        return LightCurve(np.where(np.arange(mjd.shape[1]) >= 6, 18.0, np.inf) * np.ones(mjd.shape))

    def select(self, params, mag, rng):
        return params["chance"] < self.share


@pytest.mark.parametrize("source", [Rare(0.02), Rare(1.0), Supernova()], ids=["rare", "common", "supernova"])
def test_as_many_objects_as_asked_for_each_with_an_alert(source):
    survey, rule, options = HiTS(), WindowRule(), SimulationOptions()
    dates = alerted(survey, source, "toy", 64, Seeds(0, "test"), rule, options)
    again = alerted(survey, source, "toy", 64, Seeds(0, "test"), rule, options)
    assert len(dates.exposures) == len(dates.first_detection) == 64
    for name in DTYPES:
        np.testing.assert_array_equal(getattr(dates.exposures, name), getattr(again.exposures, name))
    assert (dates.first_detection >= 0).all()
    assert dates.exposures.mask[np.arange(64), dates.first_detection].all()
    assert (dates.exposures.mask.sum(axis=1) <= rule.max_images).all()
    assert all(len(column) == 64 for column in dates.params.values())
    other = alerted(survey, source, "toy", 64, Seeds(1, "test"), rule, options)
    assert not np.array_equal(dates.exposures.mjd, other.exposures.mjd)


def test_rejection_leaves_the_chances_even():
    # Objects of later rounds are drawn like those of the first: the accepted chances are uniform below the share.
    dates = alerted(HiTS(), Rare(0.02), "toy", 640, Seeds(5, "test"), WindowRule(), SimulationOptions())
    chance = dates.params["chance"] / 0.02
    assert chance.max() < 1
    assert chance.mean() == pytest.approx(0.5, abs=0.04)
    assert len(np.unique(chance)) == 640


def test_a_class_that_is_never_detected_raises():
    with pytest.raises(SimulationError, match=r"64 detected objects of class 'dark'.*0 after \d+ proposals.*max_rounds"):
        alerted(HiTS(), Rare(0.0), "dark", 64, Seeds(0), WindowRule(), SimulationOptions(max_rounds=3))

"""HiTS as a survey: shared exposures, seeds, filters, CCDs, alerts and options. Its season: test_hits_conditions."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import ConfigError, SimulationError
from skyreel.exposures import DTYPES, Exposures
from skyreel.seeding import Seeds
from skyreel_hits.camera import KNOWN, USED
from skyreel_hits.season import night_of, virtual_fields
from skyreel_hits.survey import HiTS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def season() -> Exposures:
    return virtual_fields(0, 200, ("g",))


def test_stellar_width_agrees_with_half_maxima_of_stacked_stars():
    seeing = np.array([1.05, 1.22, 1.40, 1.63])
    half_maximum = np.array([2.99, 3.67, 4.33, 5.19])  # radial profiles of all fields, no Gaussian fitted
    np.testing.assert_allclose(HiTS().stellar_width(seeing), half_maximum, rtol=0.05)
    assert np.all(np.diff(HiTS().stellar_width(np.linspace(0.5, 5.0, 50))) > 0)
    exposures = HiTS(psf_width="header", pixel_scale=0.263).sample(3, Seeds(0))
    np.testing.assert_allclose(exposures.psf_fwhm, exposures.seeing / 0.263, rtol=1e-6)


def test_objects_of_a_field_share_its_exposures():
    parts = [HiTS(n_fields=5).sample(64, Seeds(3, stream, block)) for stream, block in (("train/a", 0), ("train/b", 9))]
    exposures = Exposures.concatenate(parts)
    order = np.argsort(exposures.exposure_id[exposures.mask], kind="stable")
    number = exposures.exposure_id[exposures.mask][order]
    again = np.nonzero(np.diff(number) == 0)[0]
    for name in ("mjd", "band", "exptime", "seeing", "psf_fwhm", "airmass", "sky", "zero_point", "limiting_mag", "field"):
        column = getattr(exposures, name)[exposures.mask][order]
        np.testing.assert_array_equal(column[again], column[again + 1])


def test_exposure_numbers_are_unique(season):
    number = season.exposure_id[season.mask]
    assert len(np.unique(number)) == len(number)
    np.testing.assert_array_equal(number // 1000, season.field[season.mask])


def test_seeds_fix_everything_and_blocks_differ():
    survey = HiTS()
    first, again = (survey.sample(64, Seeds(5, "train/x", 2)) for _ in range(2))
    virtual_fields.cache_clear()
    fresh = survey.sample(64, Seeds(5, "train/x", 2))
    for name in DTYPES:
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes() == getattr(fresh, name).tobytes()
    for other in (Seeds(5, "train/x", 3), Seeds(5, "train/y", 2), Seeds(6, "train/x", 2)):
        assert not np.array_equal(survey.sample(64, other).field[:, 0], first.field[:, 0])
    assert not np.array_equal(virtual_fields(5, 3, ("g",)).seeing, virtual_fields(6, 3, ("g",)).seeing)


def test_other_filters_and_more_fields_leave_the_g_exposures_alone():
    g, all_bands, more = virtual_fields(2, 20, ("g",)), virtual_fields(2, 20, ("r", "g", "i")), virtual_fields(2, 40, ("g",))
    chosen = all_bands.compact(all_bands.band == 1)
    for name in ("mjd", "seeing", "exposure_id"):
        np.testing.assert_array_equal(getattr(g, name)[g.mask], getattr(chosen, name)[chosen.mask])
        np.testing.assert_array_equal(getattr(g, name)[g.mask], getattr(more.take(slice(20)), name)[more.mask[:20]])


def test_each_object_lies_on_one_ccd():
    exposures = HiTS().sample(3000, Seeds(0))
    assert (exposures.ccd == exposures.ccd[:, :1]).all()
    assert set(np.unique(exposures.ccd)) == set(USED.tolist())
    assert len(USED) == 47
    constants = np.stack([exposures.gain, exposures.read_noise, exposures.saturation], axis=-1)[:, 0]
    for row in KNOWN:
        np.testing.assert_array_equal(constants[exposures.ccd[:, 0] == row[0]] - row[1:].astype(np.float32), 0)
    drawn = constants[~np.isin(exposures.ccd[:, 0], KNOWN[:, 0])]
    error = KNOWN[:, 1:].std(axis=0, ddof=1)
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - KNOWN[:, 1:].mean(axis=0)), 0.1 * error)
    np.testing.assert_allclose(drawn.std(axis=0), error, rtol=0.1)
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.corrcoef(KNOWN[:, 1:].T), atol=0.05)
    assert set(np.unique(HiTS(known_ccds_only=True).sample(500, Seeds(0)).ccd)) == set(KNOWN[:, 0].astype(int))


def test_difference_alerts():
    exposures = HiTS(max_seeing=None).sample(8, Seeds(1))
    survey, depth = HiTS(), exposures.limiting_mag.astype(np.float64)
    constant = np.full(exposures.shape, 17.0)
    assert not survey.detect(exposures, constant).any()
    assert HiTS(detection="limiting_mag").detect(exposures, constant)[exposures.mask].all()
    night = night_of(exposures.mjd)
    later = exposures.mask & (night > night[:, :1])
    for shift, found in ((-0.01, True), (0.01, False)):
        new = np.where(later, depth + shift, np.inf)
        np.testing.assert_array_equal(survey.detect(exposures, new), later if found else np.zeros_like(later))
    on_star = -2.5 * np.log10(10 ** (-0.4 * 17.0) + np.where(later, 10 ** (-0.4 * (depth - 0.01)), 0))
    np.testing.assert_array_equal(survey.detect(exposures, on_star), later)
    assert not survey.detect(exposures, np.where(later, np.inf, 17.0)).any()


def test_alerts_refer_to_the_first_usable_night():
    exposures = HiTS().sample(4, Seeds(1))
    night = night_of(exposures.mjd)
    cut = exposures.compact(night > night[:, :1])
    star = np.where(np.arange(cut.shape[1]) < 1, 18.0, 17.0) * np.ones(cut.shape)
    first_night = night_of(cut.mjd) == night_of(cut.mjd)[:, :1]
    level = np.array([(10 ** (-0.4 * star[k, first_night[k]])).mean() for k in range(4)])
    wanted = cut.mask & (10 ** (-0.4 * star) - level[:, None] > 10 ** (-0.4 * cut.limiting_mag.astype(np.float64)))
    assert wanted[:, 6:].any(axis=1).all()
    np.testing.assert_array_equal(HiTS().detect(cut, star), wanted)


def test_replay_repeats_one_schedule():
    one = HiTS().sample(5, Seeds(0)).take([3])
    twins = HiTS().replay(one, 7)
    assert len(twins) == 7
    for name in DTYPES:
        np.testing.assert_array_equal(getattr(twins, name), np.repeat(getattr(one, name), 7, axis=0))


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 80),
    root=st.integers(0, 2**31),
    n_fields=st.integers(1, 8),
    filters=st.lists(st.sampled_from(["g", "r", "i"]), min_size=1, max_size=3, unique=True),
)
def test_any_sample_is_usable(n, root, n_fields, filters):
    survey = HiTS(filters=filters, n_fields=n_fields)
    if len(virtual_fields(root, n_fields, tuple(filters))) == 0:
        with pytest.raises(SimulationError, match=r"survey\.n_fields"):
            survey.sample(n, Seeds(root, "s", 1))
        return
    exposures = survey.sample(n, Seeds(root, "s", 1))
    exposures.check("hits")
    assert len(exposures) == n
    assert exposures.bands == survey.bands == tuple(filters)
    assert (exposures.airmass[exposures.mask] >= 1).all()
    assert (exposures.sky[exposures.mask] > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": ["g", "z"]}, "survey.filters.*g, r, i"),
        ({"filters": []}, "survey.filters"),
        ({"filters": ["g", "g"]}, "each once"),
        ({"n_fields": 0}, "survey.n_fields"),
        ({"psf_width": "headr"}, "calibrated or header"),
        ({"detection": "sigma"}, "difference or limiting_mag"),
        ({"pixel_scale": 0.0}, "survey.pixel_scale"),
        ({"max_seeing": -1.0}, "survey.max_seeing"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        HiTS(**options)


def test_config_shows_every_default_and_the_survey_pickles():
    shown = yaml.safe_load((ROOT / "conf/survey/hits.yaml").read_text())
    assert shown.pop("name") == "hits"
    assert shown == dataclasses.asdict(HiTS())
    assert pickle.loads(pickle.dumps(HiTS(pixel_scale=0.263))).camera.pixel_scale == 0.263

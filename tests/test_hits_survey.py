"""HiTS: the generated season against the real one, shared exposures, seeds, CCDs and alerts."""

import dataclasses
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, spearmanr

from skyreel.errors import ConfigError, DatasetError, SimulationError
from skyreel.exposures import DTYPES, Exposures
from skyreel.seeding import Seeds
from skyreel_hits import fit_conditions
from skyreel_hits.camera import KNOWN, USED
from skyreel_hits.season import QUANTITIES, coefficients, night_of, sec_z, virtual_fields
from skyreel_hits.survey import HiTS

ROOT = Path(__file__).parents[1]
MARGINALS = ("seeing", "sky", "zero_point", "airmass", "limiting_mag")


@pytest.fixture(scope="module")
def real_folder():
    folder = Path(os.environ.get("SKYREEL_TEST_DATA", ROOT.parent / "shared" / "data")) / "hits2015a"
    if not folder.is_dir():
        pytest.skip("no hits2015a in ../shared/data or $SKYREEL_TEST_DATA")
    return folder


@pytest.fixture(scope="module")
def real(real_folder):
    rows = fit_conditions.read_conditions(real_folder)
    return {name: column[rows["band"] == "g"] for name, column in rows.items()}


@pytest.fixture(scope="module")
def season() -> Exposures:
    return virtual_fields(0, 200, ("g",))


def flat(exposures: Exposures, name: str) -> np.ndarray:
    return np.asarray(getattr(exposures, name)[exposures.mask], np.float64)


def noise_depth(fwhm, sky, zero_point, exptime):
    """5-sigma depth of a PSF-weighted measurement with gain 4.0 and read noise 6.1 e- (LSST SMTN-002, section 2)."""
    variance = 2.266 * fwhm**2 * (sky * 4.0 + 6.1**2)
    counts = 12.5 + np.sqrt(12.5**2 + 25 * variance)
    return zero_point + 2.5 * np.log10(4.0 * exptime / counts)


@pytest.mark.real_data
@pytest.mark.parametrize("root", [0, 1, 7])
@pytest.mark.parametrize("name", MARGINALS)
def test_marginals_follow_the_real_season(real, name, root):
    known = real[name][np.isfinite(real[name])]
    assert ks_2samp(known, flat(virtual_fields(root, 200, ("g",)), name)).statistic <= 0.08


@pytest.mark.real_data
def test_gaps_and_dates_follow_the_real_season(real, season):
    same = np.diff(real["field"]) == 0
    gaps = np.diff(season.mjd, axis=1)[season.mask[:, 1:]]
    assert ks_2samp(np.diff(real["mjd"])[same], gaps).statistic <= 0.08
    assert ks_2samp(real["mjd"], season.mjd[season.mask]).statistic <= 0.08
    counts = np.unique(real["field"], return_counts=True)[1]
    assert abs(season.mask.sum(axis=1).mean() - counts.mean()) < 0.5


@pytest.mark.real_data
def test_rank_correlations_follow_the_real_season(real, season):
    table = np.stack([real[name] for name in MARGINALS])
    wanted = spearmanr(table[:, np.isfinite(table).all(axis=0)].T).statistic
    found = spearmanr(np.stack([flat(season, name) for name in MARGINALS]).T).statistic
    np.testing.assert_allclose(found, wanted, atol=0.08)


@pytest.mark.real_data
def test_limiting_magnitude_lies_about_the_noise_formula_as_in_the_real_season(real, season):
    slope, offset = coefficients()["psf_width"]
    wanted = real["limiting_mag"] - noise_depth(slope * real["seeing"] + offset, real["sky"], real["zero_point"], real["exptime"])
    seeing, sky, zero_point, exptime, depth = (flat(season, name) for name in ("seeing", "sky", "zero_point", "exptime", "limiting_mag"))
    found = depth - noise_depth(slope * seeing + offset, sky, zero_point, exptime)
    assert ks_2samp(wanted[np.isfinite(wanted)], found).statistic <= 0.08
    assert abs(np.median(found) - np.nanmedian(wanted)) < 0.05


@pytest.mark.real_data
def test_coefficients_are_those_of_the_fit(real_folder):
    rows = fit_conditions.read_conditions(real_folder)
    again = json.loads(json.dumps(fit_conditions.rounded(fit_conditions.fit_season(rows))))
    stored = coefficients()
    assert again["patterns"] == stored["patterns"]
    for name in (*QUANTITIES, "cloud_fraction", "cloud_depth"):
        np.testing.assert_allclose(again["visits"][name], stored["visits"][name], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(fit_conditions.fit_width(real_folder), stored["psf_width"], rtol=1e-3)


@pytest.mark.real_data
def test_airmass_is_that_of_a_place_on_the_sky(real_folder):
    rows = fit_conditions.read_conditions(real_folder)
    fields, member = np.unique(rows["field"], return_inverse=True)
    place = fit_conditions.positions(rows)
    model = sec_z(rows["mjd"], place[member, 0], place[member, 1])
    assert len(fields) == 32
    assert np.abs(model - rows["airmass"]).max() < 0.01


def test_stellar_width_agrees_with_the_published_calibration():
    seeing = np.linspace(1.0, 2.0, 11)
    slope, offset = coefficients()["psf_width"]
    np.testing.assert_allclose(slope * seeing + offset, 3.16 * seeing - 0.064, atol=0.02)
    exposures = HiTS(psf_width="header", pixel_scale=0.263).sample(3, Seeds(0))
    np.testing.assert_allclose(exposures.psf_fwhm, exposures.seeing / 0.263, rtol=1e-6)


def test_nights_hold_four_to_five_visits_an_hour_and_a_half_apart(season):
    night = np.where(season.mask, night_of(season.mjd) - night_of(season.mjd)[:, :1], -1)
    visits = np.array([[(row == n).sum() for n in (0, 1, 2, 5)] for row in night])
    assert visits.min() >= 3
    assert visits.max() <= 5
    assert 4.3 < visits.mean() < 5
    same = (np.diff(night, axis=1) == 0) & season.mask[:, 1:]
    gaps = np.diff(season.mjd, axis=1)[same] * 24
    assert 1.55 < np.median(gaps) < 1.7
    assert np.all(season.mjd[season.mask] % 1 < 0.45)  # Chilean nights end before 11 h UT
    assert np.median(season.mjd.max(axis=1) - season.mjd[:, 0]) == pytest.approx(25, abs=0.5)


def test_physics_of_the_season(season):
    assert flat(season, "airmass").min() >= 1
    clear = season.mask & (season.zero_point > 24.85)
    slope = np.polyfit(season.airmass[clear], season.zero_point[clear], 1)[0]
    assert -0.25 < slope < -0.15  # g extinction at Cerro Tololo is 0.2 mag per airmass
    assert 0.1 < (flat(season, "seeing") > 2).mean() < 0.22
    assert set(np.unique(flat(season, "exptime"))) == {86.0, 102.0}
    moon = flat(season, "sky")[flat(season, "exptime") == 102]
    assert np.median(moon) > 10 * np.median(flat(season, "sky"))


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


def test_missing_data_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"conditions\.ecsv"):
        fit_conditions.read_conditions(tmp_path)
    with pytest.raises(DatasetError, match=r"non_variable\.npz"):
        fit_conditions.fit_width(tmp_path)


def test_config_shows_every_default_and_the_survey_pickles():
    shown = yaml.safe_load((ROOT / "conf/survey/hits.yaml").read_text())
    assert shown.pop("name") == "hits"
    assert shown == dataclasses.asdict(HiTS())
    assert pickle.loads(pickle.dumps(HiTS(pixel_scale=0.263))).camera.pixel_scale == 0.263
    assert (ROOT / "surveys/skyreel_hits/conditions.json").stat().st_size < 60_000

"""The generated HiTS season: its distributions against the development fields, and the physics every exposure obeys."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, spearmanr

from skyreel.exposures import DTYPES, Exposures
from skyreel_hits import fit_conditions, fit_season
from skyreel_hits.season import coefficients, generate, night_of, virtual_fields
from skyreel_hits.season_sky import sun_altitude
from skyreel_hits.survey import HiTS

MARGINALS = ("seeing", "sky", "zero_point", "airmass", "limiting_mag")


@pytest.fixture(scope="module")
def rows():
    from conftest import find_data

    found = find_data()
    if found is None:
        pytest.skip("no real data")
    return fit_conditions.read_conditions(found / "hits2015a")


@pytest.fixture(scope="module")
def season() -> Exposures:
    return virtual_fields(0, 400, ("g",))


@pytest.fixture(scope="module")
def all_bands() -> Exposures:
    return virtual_fields(0, 400, ("g", "r", "i"))


def of_band(rows, band, name):
    column = rows[name][rows["band"] == band]
    return column[np.isfinite(column)]


def flat(exposures: Exposures, name: str) -> np.ndarray:
    return np.asarray(getattr(exposures, name)[exposures.mask], np.float64)


def gaps_of(rows, band):
    chosen = rows["band"] == band
    return np.diff(rows["mjd"][chosen])[np.diff(rows["field"][chosen]) == 0]


def critical(n):
    """Kolmogorov-Smirnov distance that one sample of n exceeds with 5 % chance."""
    return 1.36 / np.sqrt(n)


@pytest.mark.real_data
@pytest.mark.parametrize("root", [0, 1, 7])
@pytest.mark.parametrize("name", MARGINALS)
def test_marginals_follow_the_real_season(rows, name, root):
    assert ks_2samp(of_band(rows, "g", name), flat(virtual_fields(root, 200, ("g",)), name)).statistic <= 0.05


@pytest.mark.real_data
@pytest.mark.parametrize("band", ["r", "i"])
@pytest.mark.parametrize("name", MARGINALS)
def test_few_exposures_in_other_bands_agree_within_their_noise(rows, name, band):
    real = of_band(rows, band, name)
    assert ks_2samp(real, flat(virtual_fields(0, 400, (band,)), name)).statistic <= critical(len(real))


@pytest.mark.real_data
def test_gaps_dates_and_numbers_follow_the_real_season(rows, season):
    gaps = np.diff(season.mjd, axis=1)[season.mask[:, 1:]]
    assert ks_2samp(gaps_of(rows, "g"), gaps).statistic <= 0.05
    assert ks_2samp(of_band(rows, "g", "mjd"), flat(season, "mjd")).statistic <= 0.02
    for band in ("g", "r", "i"):
        drawn = virtual_fields(0, 400, (band,))
        per_field = (rows["band"] == band).sum() / len(np.unique(rows["field"]))
        assert drawn.mask.sum() / 400 == pytest.approx(per_field, rel=0.1), band


@pytest.mark.real_data
def test_correlations_follow_the_real_season(rows):
    chosen = rows["band"] == "g"
    real = np.stack([rows[name][chosen] for name in MARGINALS])
    real = real[:, np.isfinite(real).all(axis=0)]
    drawn = [np.stack([flat(virtual_fields(root, 400, ("g",)), name) for name in MARGINALS]) for root in range(4)]
    found = np.mean([spearmanr(table.T).statistic for table in drawn], axis=0)
    np.testing.assert_allclose(found, spearmanr(real.T).statistic, atol=0.05)
    for table in (real, *drawn):
        table[MARGINALS.index("sky")] = np.log10(table[MARGINALS.index("sky")])
    np.testing.assert_allclose(np.mean([np.corrcoef(table) for table in drawn], axis=0), np.corrcoef(real), atol=0.05)


@pytest.mark.real_data
def test_weather_lasts_as_long_as_in_the_real_season(rows, season):
    """Seeing of successive exposures of a field, a round (1.6 h) apart in the same night: correlation of their logarithms."""
    chosen = rows["band"] == "g"
    field, mjd, seeing = (rows[name][chosen] for name in ("field", "mjd", "seeing"))
    same = (np.diff(field) == 0) & (np.diff(mjd) < 0.1)
    real = np.corrcoef(np.log(seeing[:-1][same]), np.log(seeing[1:][same]))[0, 1]
    same = season.mask[:, 1:] & (np.diff(season.mjd, axis=1) < 0.1)
    drawn = np.corrcoef(np.log(season.seeing[:, :-1][same]), np.log(season.seeing[:, 1:][same]))[0, 1]
    assert real > 0.5
    assert drawn == pytest.approx(real, abs=0.05)


@pytest.mark.real_data
def test_half_of_the_fields_predicts_the_other_half(rows):
    """Out of sample: no further from the unseen half than the two real halves are from each other, give or take 0.03."""
    fields = np.unique(rows["field"])
    seen = np.isin(rows["field"], fields[::2])
    model = fit_season.fit_season({name: column[seen] for name, column in rows.items()}, coefficients()["psf_width"])
    drawn = generate(model, 0, 400, ("g",))
    for name in MARGINALS:
        one, other = (of_band({k: v[part] for k, v in rows.items()}, "g", name) for part in (seen, ~seen))
        assert ks_2samp(other, flat(drawn, name)).statistic <= ks_2samp(other, one).statistic + 0.03, name


@pytest.mark.real_data
def test_coefficients_are_those_of_the_fit(rows, data_dir):
    width = fit_conditions.fit_width(data_dir / "hits2015a")
    again = json.loads(json.dumps(fit_conditions.rounded(fit_season.fit_season(rows, width))))
    again["stellar_width"] = fit_conditions.rounded(fit_conditions.fit_stellar_width(data_dir / "hits2015a"))
    stored = {name: value for name, value in coefficients().items() if name != "source"}
    assert again["fields"].pop("visits") == stored["fields"]["visits"]
    assert set(again) == set(stored)
    same(again, stored)


@pytest.mark.real_data
def test_stellar_widths_of_single_exposures_scatter_little_about_the_polygon(data_dir):
    seeing, width = fit_conditions.stellar_widths(data_dir / "hits2015a")
    departure = width / HiTS().stellar_width(seeing) - 1
    assert np.std(departure) < 0.016  # a straight line leaves 0.022
    assert abs(np.corrcoef(seeing[seeing < 2], departure[seeing < 2])[0, 1]) < 0.2


def same(one, two):
    """Equal nested coefficients, to the precision of the fit's solvers."""
    if isinstance(one, dict):
        for name, value in one.items():
            same(value, two[name])
    elif isinstance(one, list) and one and isinstance(one[0], str):
        assert one == two
    else:
        np.testing.assert_allclose(np.array(one, np.float64), np.array(two, np.float64), rtol=1e-3, atol=1e-3)


def above_noise(seeing, sky, zero_point, exptime, depth):
    """Depth less that of 5 sigma above Poisson noise in 2.266 FWHM**2 pixels (SMTN-002) at gain 4 and read noise 6.1."""
    slope, offset = coefficients()["psf_width"]
    variance = 2.266 * (slope * seeing + offset) ** 2 * (4.0 * sky + 6.1**2)
    electrons = 12.5 + np.sqrt(12.5**2 + 25 * variance)
    return depth - zero_point + 2.5 * np.log10(electrons / 4.0 / exptime)


CONDITIONS = ("seeing", "sky", "zero_point", "exptime", "limiting_mag")


@pytest.mark.real_data
def test_limiting_magnitude_lies_about_the_noise_formula_as_in_the_real_season(rows, season):
    real = above_noise(*(rows[name][rows["band"] == "g"] for name in CONDITIONS))
    real = real[np.isfinite(real)]
    drawn = above_noise(*(flat(season, name) for name in CONDITIONS))
    assert ks_2samp(real, drawn).statistic <= 0.05
    assert np.median(drawn) == pytest.approx(np.median(real), abs=0.05)


def test_a_cloud_takes_as_much_from_the_depth_as_from_the_zero_point(season):
    rest, zero_point = above_noise(*(flat(season, name) for name in CONDITIONS)), flat(season, "zero_point")
    night = night_of(flat(season, "mjd")) == 57072
    cloudy, clear = (rest[night & chosen] for chosen in (zero_point < 24.5, zero_point > 24.8))
    assert min(len(cloudy), len(clear)) > 50
    assert np.median(cloudy) == pytest.approx(np.median(clear), abs=0.3)


def test_time_never_runs_backwards_and_an_exposure_ends_before_the_next(all_bands):
    after = np.diff(all_bands.mjd, axis=1) * 86400 - all_bands.exptime[:, :-1]
    assert after[all_bands.mask[:, 1:]].min() > 20  # DECam reads out in 20 s (Flaugher et al. 2015, AJ 150, 150)


def test_exposures_lie_in_the_night(all_bands):
    mjd = flat(all_bands, "mjd")
    assert sun_altitude(mjd).max() < -11.5  # the season's earliest exposure; nautical twilight ends at -12
    night = night_of(mjd)
    assert set(np.unique(night)) == {57069, 57070, 57071, 57072, 57073, 57074, 57076, 57077, 57079, 57088, 57089, 57094}


def test_nights_hold_four_to_five_visits_an_hour_and_a_half_apart(season):
    night = np.where(season.mask, night_of(season.mjd) - night_of(season.mjd)[:, :1], -1)
    visits = np.array([[(row == n).sum() for n in (0, 1, 2, 5)] for row in night])
    assert visits.min() >= 3
    assert visits.max() <= 7  # the first field was repeated twice in one night
    assert (visits > 5).mean() < 0.04  # of two of four nights, and one field of 32
    assert 4.3 < visits.mean() < 5
    same_night = (np.diff(night, axis=1) == 0) & season.mask[:, 1:]
    gaps = np.diff(season.mjd, axis=1)[same_night] * 24
    assert 1.55 < np.median(gaps) < 1.7
    assert np.median(season.mjd.max(axis=1) - season.mjd[:, 0]) == pytest.approx(25, abs=0.5)


def test_airmass_and_extinction(season):
    airmass = flat(season, "airmass")
    assert airmass.min() >= 1
    assert airmass.max() < 2.1
    clear = season.mask & (season.zero_point > 24.85)
    slope = np.polyfit(season.airmass[clear], season.zero_point[clear], 1)[0]
    assert -0.25 < slope < -0.15  # g extinction at Cerro Tololo is 0.2 mag per airmass
    assert coefficients()["extinction"]["g"] > coefficients()["extinction"]["r"] > 0  # Rayleigh scattering


def test_sky(all_bands):
    band = all_bands.band[all_bands.mask]
    dark = np.array([coefficients()["dark_sky"][name] for name in all_bands.bands], np.float32)
    assert (flat(all_bands, "sky") >= dark[band]).all()
    exptime = flat(all_bands, "exptime")
    assert set(np.unique(exptime)) == {86.0, 102.0}
    g = band == 0
    assert np.median(flat(all_bands, "sky")[g & (exptime == 102)]) > 10 * np.median(flat(all_bands, "sky")[g])  # full moon
    # dusk of the night that began in r: each degree of the Sun below the horizon is worth about a magnitude
    dusk = (night_of(flat(all_bands, "mjd")) == 57076) & (band == 1)
    altitude, sky = sun_altitude(flat(all_bands, "mjd")[dusk]), flat(all_bands, "sky")[dusk]
    late = np.median(sky[altitude < -18])
    early = altitude > -14
    slope = np.polyfit(altitude[early], np.log10(sky[early] - late), 1)[0]
    assert 0.4 < slope < 0.55


def test_poor_seeing_is_as_frequent_as_it_was(season):
    assert flat(season, "seeing").min() > 0.8
    assert 0.1 < (flat(season, "seeing") > 2).mean() < 0.22


def test_clouds_are_those_of_one_night(season):
    cloudy = season.mask & (season.zero_point < 24.75)
    assert set(night_of(season.mjd[cloudy])) == {57072}
    assert 0.01 < cloudy.sum() / season.mask.sum() < 0.03
    assert season.zero_point[season.mask].min() > 20


@settings(max_examples=15, deadline=None)
@given(root=st.integers(0, 2**31), few=st.integers(1, 6), bands=st.permutations(["g", "r", "i"]))
def test_a_field_is_the_same_whatever_else_is_asked_for(root, few, bands):
    g, every, more = virtual_fields(root, few, ("g",)), virtual_fields(root, few, tuple(bands)), virtual_fields(root, few + 3, ("g",))
    chosen = every.compact(every.band == bands.index("g"))
    for name in DTYPES:
        if name not in ("mask", "band"):
            np.testing.assert_array_equal(getattr(g, name)[g.mask], getattr(chosen, name)[chosen.mask])
            np.testing.assert_array_equal(getattr(g, name)[g.mask], getattr(more.take(slice(few)), name)[more.mask[:few]])


def test_the_coefficients_are_small():
    assert (Path(fit_conditions.__file__).parent / "conditions.json").stat().st_size < 60_000

"""The fit of the HiTS season: recovered from invented seasons, its astronomy against astropy, its errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import DatasetError
from skyreel_hits import fit_conditions, fit_season
from skyreel_hits.season import _draws, coefficients, generate, hats
from skyreel_hits.season_sky import LATITUDE, LONGITUDE, noise_depth, sec_z, sun_altitude, twilight

FIELDS = 40


@pytest.fixture(scope="module")
def invented():
    """Rows of a generated season, as if they were read from a table."""
    season = generate(coefficients(), 3, FIELDS, ("g", "r", "i"))
    order = _draws(3, FIELDS, len(coefficients()["visits"]["band"]))["uniform"][:, 0]
    by_order = np.argsort(np.argsort(order))
    rows = {
        name: np.asarray(getattr(season, name)[season.mask], np.float64)
        for name in ("mjd", "exptime", "airmass", "seeing", "sky", "zero_point", "limiting_mag")
    }
    member = season.field[season.mask]
    rows |= {"field": by_order[member], "order": order[member], "band": np.array(season.bands)[season.band[season.mask]]}
    rows["visit"] = season.exposure_id[season.mask] % 1000
    in_time = np.lexsort((rows["mjd"], rows["field"]))
    return {name: column[in_time] for name, column in rows.items()}


@pytest.fixture(scope="module")
def place():
    from astropy import units as u
    from astropy.coordinates import EarthLocation

    return EarthLocation(lat=LATITUDE * u.deg, lon=LONGITUDE * u.deg, height=2200 * u.m)


def altitude_by_astropy(coordinates, mjd, place):
    from astropy.coordinates import AltAz
    from astropy.time import Time
    from astropy.utils import iers

    with iers.conf.set_temp("auto_download", False):
        return coordinates.transform_to(AltAz(obstime=Time(mjd, format="mjd"), location=place)).alt.deg


@pytest.mark.filterwarnings("ignore")
def test_airmass_against_astropy(place):
    from astropy.coordinates import FK5, SkyCoord

    mjd = 57069.7 + np.linspace(0.35, 0.75, 9)
    for ra, dec in ((138.7, -6.5), (150.0, 0.0), (160.7, 1.9)):
        of_date = SkyCoord(ra, dec, unit="deg", frame=FK5(equinox="J2015.15"))
        altitude = altitude_by_astropy(of_date, mjd, place)
        up = altitude > 28
        assert up.sum() > 4
        np.testing.assert_allclose(sec_z(mjd[up], ra, dec), 1 / np.sin(np.radians(altitude[up])), rtol=2e-3)


@pytest.mark.filterwarnings("ignore")
def test_sun_against_astropy(place):
    from astropy.coordinates import get_sun
    from astropy.time import Time

    mjd = 57069.0 + np.linspace(0, 25, 60)
    np.testing.assert_allclose(sun_altitude(mjd), altitude_by_astropy(get_sun(Time(mjd, format="mjd")), mjd, place), atol=0.05)


def test_depth_of_a_noisy_and_of_a_noiseless_exposure():
    fwhm, sky, zero_point, exptime = 4.5, 120.0, 25.0, 86.0
    depth = noise_depth(*(np.array([x]) for x in (fwhm, sky, zero_point, exptime)))[0]
    gain, read_noise = 24.019 / 6, 36.605 / 6  # means of the six published CCDs
    electrons = gain * exptime * 10 ** (-0.4 * (depth - zero_point))
    noise = np.sqrt(electrons + 2.266 * fwhm**2 * (sky * gain + read_noise**2))
    assert electrons / noise == pytest.approx(5, rel=1e-5)
    assert noise_depth(np.array([1e-9]), np.array([0.0]), np.array([zero_point]), np.array([exptime]))[0] == pytest.approx(
        zero_point - 2.5 * np.log10(25 / gain / exptime)
    )


def test_twilight_falls_with_the_sun():
    at = twilight(np.array([-12.0, -13.0, -14.0]), 1000.0, 0.45)
    np.testing.assert_allclose(at, [1000, 1000 * 10**-0.45, 1000 * 10**-0.9])


@given(x=st.lists(st.floats(0, 1), min_size=1, max_size=20), knots=st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_hats_interpolate_linearly(x, knots):
    order, level = np.array(x), np.sin(np.arange(knots))
    weight = hats(order, knots)
    np.testing.assert_allclose(weight.sum(axis=1), 1)
    np.testing.assert_allclose(weight @ level, np.interp(order, np.linspace(0, 1, knots), level), atol=1e-12)


def test_visits_are_found_again(invented):
    found = fit_season.number_visits(invented)
    assert found.min() == 0
    pairs = {(a, b) for a, b in zip(invented["visit"], found, strict=True)}
    rounds = np.nonzero(np.bincount(found) > 5)[0]
    for number in rounds:  # a found round holds one invented visit, or one and a stray repeat
        members = invented["visit"][found == number]
        assert np.bincount(members).max() > 0.9 * len(members)
    assert len(rounds) == len({a for a, b in pairs if (invented["visit"] == a).sum() > 5 and a < 37})


def test_physics_is_found_again(invented):
    true = coefficients()
    again = fit_season.fit_season({k: v for k, v in invented.items() if k != "visit"}, true["psf_width"])
    assert again["extinction"]["g"] == pytest.approx(true["extinction"]["g"], abs=0.03)
    assert again["sky_declination"] == pytest.approx(true["sky_declination"], abs=0.001)
    assert again["sky_airmass"] == pytest.approx(true["sky_airmass"], abs=0.12)  # five seasons scatter by 0.05
    at = [float(twilight(np.array([-14.0]), model["twilight"]["r"], model["twilight_slope"])[0]) for model in (again, true)]
    assert abs(np.log10(at[0] / at[1])) < 0.3  # one dusk's dozen exposures: five seasons scatter by a quarter


@pytest.mark.real_data
def test_every_field_has_one_place_on_the_sky(data_dir):
    rows = fit_conditions.read_conditions(data_dir / "hits2015a")
    fields, member = np.unique(rows["field"], return_inverse=True)
    found = fit_season.positions(rows)
    assert len(fields) == 32
    assert np.abs(sec_z(rows["mjd"], found[member, 0], found[member, 1]) - rows["airmass"]).max() < 0.01


def test_a_course_passes_over_clouds_and_holes():
    order = np.linspace(0, 1, 41)
    value = 25 + 0.1 * np.abs(order - 0.5)
    value[[5, 20, 33]] -= [0.5, 1.5, 0.4]
    value[12] = np.nan
    level, rest = fit_season.smooth(order, value, 7, -0.1)
    clear = np.ones(41, bool)
    clear[[5, 12, 20, 33]] = False
    np.testing.assert_allclose(rest[clear], 0, atol=0.01)
    np.testing.assert_allclose(rest[[5, 20, 33]], [-0.5, -1.5, -0.4], atol=0.01)
    np.testing.assert_allclose(level, 25 + 0.1 * np.abs(np.linspace(0, 1, 7) - 0.5), atol=0.01)


def test_cloud_that_thickens_along_a_visit():
    order = np.linspace(0, 1, 400)
    cloudy = np.random.default_rng(0).random(400) < order
    share, depth = fit_season.clouds(order, np.where(cloudy, -(0.3 + 0.5 * order), 0.0))
    np.testing.assert_allclose(share, [0, 1], atol=0.1)
    np.testing.assert_allclose(depth, [0.3, 0.8], atol=0.01)
    assert fit_season.clouds(order, np.zeros(400)) == ([0.0, 0.0], [0.0, 0.0])


def test_missing_data_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"conditions\.ecsv.*--data"):
        fit_conditions.read_conditions(tmp_path)
    with pytest.raises(DatasetError, match=r"non_variable\.npz.*--data"):
        fit_conditions.fit_width(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"), [({"limmag5": None}, "no column limmag5"), ({"split": "holdout"}, "no row with split 'dev'")]
)
def test_unusable_conditions_are_named(tmp_path, change, message):
    from astropy.table import Table

    names = ("field", "mjd", "exptime", "airmass", "seeing_arcsec", "sky", "zero_point", "limmag5")
    row = dict.fromkeys(names, 1.0) | {"filter": "g", "split": "dev"} | change
    Table({name: [value] for name, value in row.items() if value is not None}).write(tmp_path / "conditions.ecsv")
    with pytest.raises(DatasetError, match=f"{message}.*--data"):
        fit_conditions.read_conditions(tmp_path)

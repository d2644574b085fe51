"""Tables of visits as surveys: conversions against the listed depths and formulas, positions, seeds, messages."""

import pickle
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyreel.errors import ConfigError, DataError, SimulationError
from skyreel.exposures import DTYPES
from skyreel.hydra_glue import compose
from skyreel.seeding import Seeds
from skyreel.simulate.run import build, simulation_config
from skyreel.testing import CHECKS

pd = pytest.importorskip("pandas")
pytest.importorskip("lightcurvelynx")

from lynx_visits import opsim, write  # noqa: E402

from skyreel_lightcurvelynx.conditions import airmass, depth  # noqa: E402
from skyreel_lightcurvelynx.positions import Coverage, degrees, unit  # noqa: E402
from skyreel_lightcurvelynx.survey import LightCurveLynxSurvey  # noqa: E402

SEEDS = Seeds(1, "test")
RUBIN = {
    "sv_visits": "sv_db_subsampled.db",
    "nightly": "lsstcam_nightly_2026-07-05_06.csv.gz",
    "ccdvisit": "dp1_ccdvisit_subsampled.parquet",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("visits"), opsim())


def survey(file: Path, **options: object) -> LightCurveLynxSurvey:
    return LightCurveLynxSurvey(file=str(file), **options)


# ------------------------------------------------------------------------------------------------ contract


@pytest.mark.parametrize("check", CHECKS["survey"].values(), ids=list(CHECKS["survey"]))
def test_keeps_the_contract_of_surveys(check, file: Path) -> None:
    check(survey(file))


@pytest.mark.parametrize("name", ["visits.db", "visits.sqlite", "visits.parquet", "visits.csv", "visits.csv.gz"])
def test_every_kind_of_file_gives_the_same_exposures(name: str, file: Path, tmp_path: Path) -> None:
    if name.endswith(".sqlite"):
        other = tmp_path / name
        other.write_bytes(file.read_bytes())
    else:
        other = write(tmp_path, opsim(), name)
    first, second = (survey(path).sample(6, SEEDS) for path in (file, other))
    for column in DTYPES:
        np.testing.assert_allclose(getattr(first, column), getattr(second, column), rtol=1e-12, err_msg=column)


def test_survives_pickling_after_use(file: Path) -> None:
    made = survey(file)
    first = made.sample(4, SEEDS)
    again = pickle.loads(pickle.dumps(made)).sample(4, SEEDS)
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in DTYPES)


def test_movies_from_a_table_of_visits(file: Path) -> None:
    options = ["survey=lightcurvelynx", f"survey.file={file}", "source=[non_variable]", "survey.filters=[g,r]"]
    simulation = build(simulation_config(compose("simulate", options)))
    block = simulation.block("test", "non_variable", 0)
    assert block.reported.bands == ("g", "r")
    assert block.frame_mask.any(axis=1).all()
    assert np.isin(block.reported.exposure_id[block.frame_mask], np.arange(240)).all()


# ------------------------------------------------------------------------------------------------ visits


def test_exposures_are_the_rows_that_cover_the_position(file: Path) -> None:
    """The two fields lie far apart: an object has all visits of one of them that fall in its filters, save dithers at the edge."""
    table = opsim()
    made = survey(file, filters=["r", "i"], radius=1.0)
    exposures = made.sample(40, SEEDS)
    for row in range(40):
        used = exposures.mask[row]
        rows = exposures.exposure_id[row, used]
        assert len(set(rows % 2)) == 1, "visits of both fields"
        assert set(table["band"][rows]) <= {"r", "i"}
        np.testing.assert_array_equal(exposures.mjd[row, used], table["observationStartMJD"][rows])
        np.testing.assert_array_equal(np.array(["r", "i"])[exposures.band[row, used]], table["band"][rows])
    lengths = exposures.mask.sum(axis=1)
    whole = [int(((table.index % 2 == k) & table["band"].isin(["r", "i"])).sum()) for k in (0, 1)]
    assert np.isin(lengths, whole).mean() > 0.5


def test_positions_are_uniform_in_the_area(tmp_path: Path) -> None:
    """A field visited nine times as often has as many objects as the other."""
    table = opsim(400)
    rare = (table.index % 2 == 1) & (table.index % 18 != 1)
    exposures = survey(write(tmp_path, table[~rare])).sample(600, SEEDS)
    first = exposures.exposure_id[:, 0]
    western = (
        pd.read_sql_query("select fieldRA from observations", sqlite3.connect(tmp_path / "visits.db"))["fieldRA"].to_numpy()[first] > 100
    )
    assert abs(western.mean() - 0.5) < 4 * 0.5 / np.sqrt(600) + 0.02


@given(ra=st.floats(0.0, 359.9), dec=st.floats(-89.0, 89.0), radius=st.floats(0.1, 4.0))
def test_proposed_positions_lie_in_a_field(ra: float, dec: float, radius: float) -> None:
    coverage = Coverage(np.array([ra]), np.array([dec]), radius)
    place = coverage.propose(50, np.random.default_rng(1))
    away = np.degrees(np.arccos(np.clip(place @ unit(np.array([ra]), np.array([dec]))[0], -1.0, 1.0)))
    assert (away <= radius * (1.0 + 1.5 * 0.5)).all()
    np.testing.assert_allclose(unit(*degrees(place)), place, atol=1e-9)


def test_dates_seeing_and_a_least_number_of_visits(file: Path) -> None:
    made = survey(file, mjd_min=61210.0, mjd_max=61220.0, max_seeing=1.2, min_visits=5)
    exposures = made.sample(10, SEEDS)
    used = exposures.mask
    assert (used.sum(axis=1) >= 5).all()
    assert ((exposures.mjd[used] >= 61210.0) & (exposures.mjd[used] <= 61220.0)).all()
    assert (exposures.seeing[used] <= 1.2).all()


def test_visits_at_one_time_count_once(tmp_path: Path) -> None:
    """As rows of several detectors do."""
    table = opsim(20)
    doubled = pd.concat([table, table], ignore_index=True)
    exposures = survey(write(tmp_path, doubled)).sample(4, SEEDS)
    exposures.check("doubled")
    assert exposures.mask.sum(axis=1).max() <= 10


def test_a_query_chooses_rows(file: Path) -> None:
    made = survey(file, query="SELECT * FROM observations WHERE observationStartMJD < 61210")
    assert made.sample(4, SEEDS).mjd.max() < 61210.0


# ------------------------------------------------------------------------------------------------ conversions


def test_conditions_of_a_row(file: Path) -> None:
    """By hand from SMTN-002: zero points and extinction of syseng v1.9, hardware throughput for the sky."""
    made, table = survey(file), opsim()
    columns = made.visits.columns
    zenith, slope = (
        table["band"].map(values) for values in ({"g": 28.508, "r": 28.361, "i": 28.171}, {"g": 0.208, "r": 0.122, "i": 0.074})
    )
    of_electron = zenith - slope * (table["airmass"] - 1)
    np.testing.assert_allclose(columns["zero_point"], of_electron - 2.5 * np.log10(1.595), atol=1e-6)
    sky = 30.0 * 10 ** (-0.4 * (table["skyBrightness"] - zenith - slope)) * 0.2**2 / 1.595
    np.testing.assert_allclose(columns["sky"], sky, rtol=1e-6)
    np.testing.assert_allclose(columns["psf_fwhm"], table["seeingFwhmGeom"] / 0.2)
    np.testing.assert_allclose(columns["limiting_mag"], table["fiveSigmaDepth"])
    np.testing.assert_array_equal(columns["seeing"], table["seeingFwhmEff"])
    camera = made.camera
    assert (camera.pixel_scale, float(camera.gain[0]), float(camera.read_noise[0])) == (0.2, pytest.approx(1.595), pytest.approx(5.82))


@pytest.mark.real_data
def test_depths_of_opsim(data_dir: Path) -> None:
    """With the read noise and dark current that OpSim assumes: 0.006 mag median, 0.01 at most."""
    made = survey(data_dir / "lsst" / "visits" / "opsim_shorten.db", filters=["g", "r"])
    assumed = replace(made.instrument, read_noise=8.8, dark=0.2)
    columns = made.visits.columns
    off = computed_depth(columns, assumed) - columns["limiting_mag"]
    assert abs(np.median(off)) < 0.007
    assert np.abs(off).max() < 0.012
    secant = airmass(columns["ra"], columns["dec"], columns["mjd"] + 15 / 86400, assumed.latitude, assumed.longitude)
    assert np.abs(secant / columns["airmass"] - 1).max() < 0.003


def computed_depth(columns: dict, instrument: object) -> np.ndarray:
    zero_point = columns["zero_point"] + 2.5 * np.log10(columns["exptime"] * instrument.gain)
    return depth(zero_point, columns["sky"] * instrument.gain, columns["seeing"], columns["exptime"], instrument)


@pytest.mark.real_data
@pytest.mark.parametrize(("table", "limit"), [("sv_visits", 0.02), ("nightly", 0.17), ("ccdvisit", 0.03)])
def test_depths_of_rubins_tables(table: str, limit: float, data_dir: Path) -> None:
    """Medians in r; depths of the nightly table are those of a sky model 1.05 to 1.2 times brighter than the sky measured."""
    made = survey(data_dir / "lsst" / "visits" / RUBIN[table], table=table, filters=["r"])
    columns, used = made.visits.columns, made._used
    off = (computed_depth(columns, made.instrument) - columns["limiting_mag"])[used]
    assert used.sum() > 300
    assert abs(np.median(off)) < limit
    assert 27.7 < np.median(columns["zero_point"][used]) < 28.0, "SMTN-002: 28.361 - 2.5 log10(1.595) = 27.85 at the zenith"
    made.sample(20, SEEDS).check(table)


@pytest.mark.real_data
def test_zero_points_of_ztf_follow_from_its_depths(data_dir: Path, tmp_path: Path) -> None:
    """82 exposures whose zero points are known. Listed depths are 0.90 mag brighter than sky and read noise allow in 37 fields
    without crowding, which the footprint 5.5 undoes (1.25 log10(5.5) = 0.925), and 1.14 in all 82: 0.215 are left."""
    rows = pd.read_csv(data_dir / "ztf" / "exposure_conditions.csv.gz").drop_duplicates(["mjd", "rcid"], ignore_index=True)
    assert len(rows) == 82
    names = {"mjd": "obsmjd", "diffmaglim": "maglim", "scibckgnd_dn": "scibckgnd", "sciinpseeing_px": "fwhm"}
    table = rows.rename(columns=names).assign(filter=rows["fid"].map({1: "g", 2: "r"}))
    zero_point = rows["magzpsci"] - 2.5 * np.log10(rows["exptime"])
    listed, derived = (
        survey(write(tmp_path, part, name), table="ztf", filters=["g", "r"]).visits.columns
        for name, part in (("a.csv", table), ("b.csv", table.drop(columns="magzpsci")))
    )
    np.testing.assert_allclose(listed["zero_point"], zero_point, atol=1e-9)
    assert np.median(derived["zero_point"] - zero_point) == pytest.approx(-0.215, abs=0.02)
    np.testing.assert_allclose(listed["sky"], rows["scibckgnd_dn"])
    np.testing.assert_allclose(listed["seeing"], 1.01 * rows["sciinpseeing_px"])
    assert ((listed["airmass"] > 1.0) & (listed["airmass"] < 4.0)).all(), "ZTF observes above 15 degrees"


# ------------------------------------------------------------------------------------------------ errors


def test_no_file_is_a_question() -> None:
    with pytest.raises(ConfigError, match=r"survey 'lightcurvelynx': file: null; name a table of visits: survey.file=PATH"):
        LightCurveLynxSurvey().sample(1, SEEDS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"table": "opsin"}, "table: 'opsin'; choose one of opsim, ccdvisit"),
        ({"table": "my.package.Table"}, "table 'my.package.Table': its camera is unknown: no gain, read_noise, saturation, pixel_scale"),
        ({"filters": []}, r"filters: \[\]; name one or more"),
        ({"filters": ["g", "g"]}, "each once"),
        ({"min_visits": 0}, "min_visits: 0"),
        ({"mjd_min": 2.0, "mjd_max": 1.0}, "mjd_min, mjd_max: 2.0, 1.0; the first must be smaller"),
        ({"gain": 0.0}, "gain: 0.0; choose a positive"),
    ],
)
def test_options_out_of_range(options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LightCurveLynxSurvey(**options)


@pytest.mark.parametrize(
    ("name", "options", "error", "said"),
    [
        ("none.db", {}, DataError, "no such file"),
        ("text.db", {}, DataError, "DatabaseError: file is not a database"),
        ("text.fits", {}, ConfigError, "its ending must be one of .db, .sqlite"),
        ("text.pkl", {}, ConfigError, "its ending must be one of"),
        ("text.csv", {"query": "SELECT 1"}, ConfigError, "only SQLite files"),
        ("text.csv", {}, DataError, "is no table of kind opsim .*KeyError.*Missing required column"),
        ("two.db", {}, ConfigError, "has tables a, b; choose one: survey.query="),
        ("visits.db", {"query": "SELECT * FROM nowhere"}, DataError, "no such table: nowhere"),
        (
            "visits.db",
            {"table": "os.path.PathLike", "gain": 1, "read_noise": 1, "saturation": 1, "pixel_scale": 1},
            ConfigError,
            "is not in lightcurve",
        ),
        ("visits.db", {"filters": ["u"]}, ConfigError, "no visit in u .*; it has g, i, r, MJD 6120"),
        ("visits.db", {"min_visits": 1000}, SimulationError, "0 of .* positions have 1000 visits; lower survey.min_visits"),
        ("bare.csv", {}, DataError, "no column 'exptime' and nothing to derive it from; have"),
        ("empty.csv", {}, DataError, "none of its 12 rows is complete; look at sky"),
    ],
)
def test_files_that_are_no_tables_of_visits(name: str, options: dict, error: type[Exception], said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.startswith("text"):
        path.write_text("a,b\n1,2\n" * 200)
    elif name == "two.db":
        with sqlite3.connect(path) as connection:
            connection.execute("create table a (x)")
            connection.execute("create table b (x)")
    elif name == "visits.db":
        write(tmp_path, opsim())
    elif name == "bare.csv":
        write(tmp_path, opsim().drop(columns="visitExposureTime"), name)
    elif name == "empty.csv":
        write(tmp_path, opsim(12).assign(skyBrightness=np.nan), name)
    with pytest.raises(error, match=said):
        survey(path, **options).sample(2, SEEDS)

"""The outside plugins under examples/: their physics, and that they work once installed without a change to skyreel."""

import hashlib
import importlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import ConfigError
from skyreel.exposures import DTYPES
from skyreel.seeding import Seeds

ROOT = Path(__file__).parents[1]
EXAMPLES = {"lsst": ROOT / "examples" / "skyreel-lsst", "kilonova": ROOT / "examples" / "skyreel-kilonova"}


@pytest.fixture(scope="module", autouse=True)
def on_path():
    folders = [str(folder) for folder in EXAMPLES.values()]
    sys.path[:0] = folders
    yield
    for folder in folders:
        sys.path.remove(folder)
    for module in [name for name in sys.modules if name.startswith(("skyreel_lsst", "skyreel_kilonova"))]:
        del sys.modules[module]


def lsst(**options):
    return importlib.import_module("skyreel_lsst.survey").LSST(**options)


def kilonova(**options):
    return importlib.import_module("skyreel_kilonova.kilonova").Kilonova(**options)


# ------------------------------------------------------------------------------------------------------- LSST


@pytest.fixture(scope="module")
def wide():
    return lsst(filters=list("ugrizy")).sample(1500, Seeds(0))


@pytest.fixture(scope="module")
def visit_tables():
    folder = Path(os.environ.get("SKYREEL_TEST_DATA", ROOT.parent / "shared" / "data")) / "lsst" / "visits"
    if not folder.is_dir():
        pytest.skip("no lsst/visits in ../shared/data or $SKYREEL_TEST_DATA")
    return folder


def rows(database: Path, columns: str) -> tuple[np.ndarray, ...]:
    with sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True) as connection:
        table = [row for row in connection.execute(f"select band, {columns} from observations") if None not in row]
    band = np.array(["ugrizy".index(row[0][0]) for row in table])
    return band, *np.array([row[1:] for row in table], np.float64).T


@pytest.mark.real_data
def test_depth_of_simulated_visits(visit_tables):
    physics = importlib.import_module("skyreel_lsst.throughput")
    columns = "airmass, visitExposureTime, skyBrightness, seeingFwhmEff, seeingFwhmGeom, fiveSigmaDepth"
    band, airmass, exptime, brightness, seeing, width, listed = rows(visit_tables / "opsim_shorten.db", columns)
    sky = physics.sky_electrons(band, brightness, exptime)
    depth = physics.depth(physics.electron_zero_point(band, airmass), sky, seeing, exptime, 8.8, 0.2)  # the requirement, as OpSim has it
    np.testing.assert_allclose(depth, listed, atol=0.011)
    np.testing.assert_allclose(physics.stellar_width(seeing) * physics.PIXEL_SCALE, width, rtol=1e-9)


@pytest.mark.real_data
def test_depth_and_zero_points_of_real_visits(visit_tables):
    physics = importlib.import_module("skyreel_lsst.throughput")
    columns = "visitExposureTime, sky_bg_median, zero_point_median, seeingFwhmEff, fiveSigmaDepth"
    band, exptime, sky, zero_point, seeing, listed = rows(visit_tables / "sv_db_subsampled.db", columns)
    zero_point = zero_point - 2.5 * np.log10(exptime)
    depth = physics.depth(zero_point, sky, seeing, exptime, 5.82, 0.022)
    assert abs(np.median(depth - listed)) < 0.01
    for k in range(6):
        assert abs(np.median(zero_point[band == k]) - physics.ZERO_POINT[k]) < 0.1


def test_lsst_fiducial_depth():
    physics = importlib.import_module("skyreel_lsst.throughput")
    band, exptime = np.arange(6), np.full(6, 30.0)
    sky = physics.sky_electrons(band, physics.DARK_SKY, exptime)
    depth = physics.depth(physics.ZERO_POINT, sky, physics.SEEING, exptime, 8.8, 0.2)
    np.testing.assert_allclose(depth, [23.70, 24.97, 24.52, 24.13, 23.56, 22.55], atol=0.03)  # SMTN-002, dark zenith


def test_lsst_visits_come_in_pairs_every_few_nights(wide):
    gaps = np.diff(wide.mjd, axis=1)[wide.mask[:, 1:]]
    pairs = gaps[gaps < 0.2] * 24 * 60
    assert 30 < np.median(pairs) < 36
    assert 0.45 < (gaps < 0.2).mean() < 0.55
    nights = gaps[gaps > 0.2]
    assert 3 < np.median(nights) < 5
    counts = wide.mask.sum(axis=1) * 10
    assert counts.mean() == pytest.approx(824, rel=0.05)  # visits to a position in ten yearly seasons


def test_lsst_bands_follow_the_moon(wide):
    moon = importlib.import_module("skyreel_lsst.cadence").illumination(wide.mjd)
    share = [np.median(moon[wide.mask & (wide.band == k)]) for k in range(6)]
    assert share[0] < 0.35 < 0.65 < share[5]
    fraction = np.bincount(wide.band[wide.mask]) / wide.mask.sum()
    np.testing.assert_allclose(fraction, np.array([56, 80, 184, 184, 160, 136]) / 800, atol=0.025)


def test_lsst_conditions_hang_together(wide):
    mask = wide.mask
    assert np.isclose(wide.psf_fwhm, (0.822 * wide.seeing + 0.052) / 0.2)[mask].all()
    electrons = wide.zero_point + 2.5 * np.log10(wide.gain)
    zero_point = np.array([26.524, 28.508, 28.361, 28.171, 27.782, 26.818])[wide.band]
    assert (electrons <= zero_point + 1e-4)[mask].all()
    assert set(np.unique(wide.gain[mask])) == {np.float32(1.51), np.float32(1.68)}
    median = [np.median(wide.limiting_mag[mask & (wide.band == k)]) for k in range(6)]
    np.testing.assert_allclose(median, [23.70, 24.97, 24.52, 24.13, 23.56, 22.55], atol=0.6)  # moon and seeing cost depth
    full = importlib.import_module("skyreel_lsst.cadence").illumination(wide.mjd) > 0.8
    g = mask & (wide.band == 1)
    assert np.median(wide.sky[g & full]) > 1.5 * np.median(wide.sky[g & ~full])


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 40),
    root=st.integers(0, 2**31),
    season=st.floats(1.0, 200.0),
    filters=st.lists(st.sampled_from(list("ugrizy")), min_size=1, max_size=6, unique=True),
)
def test_any_lsst_sample_is_usable_and_reproducible(n, root, season, filters):
    survey = lsst(filters=filters, season=season)
    exposures, again = survey.sample(n, Seeds(root)), survey.sample(n, Seeds(root))
    exposures.check("lsst")
    assert exposures.bands == tuple(filters)
    for name in DTYPES:
        assert getattr(exposures, name).tobytes() == getattr(again, name).tobytes()
    assert len(np.unique(exposures.exposure_id[exposures.mask])) == exposures.mask.sum()


def test_lsst_options_out_of_range():
    for options in ({"filters": ["w"]}, {"filters": []}, {"season": 0.0}, {"revisit": 0.5}, {"weather_loss": 1.0}):
        with pytest.raises(ConfigError, match="survey"):
            lsst(**options)


# --------------------------------------------------------------------------------------------------- kilonova


def gw170817():
    """One object like GW170817: 0.03 solar masses at 0.2 c, z = 0.0098."""
    return {
        name: np.array([value])
        for name, value in {"redshift": 0.0098, "merger_mjd": 0.0, "mass": 0.03, "velocity": 0.2, "opacity": 1.0}.items()
    }


def magnitudes(params, days, band):
    days = np.atleast_2d(days)
    return kilonova().light_curve(params, days, np.full(days.shape, band, np.int8)).mag


def test_kilonova_looks_like_gw170817():
    days = np.array([1.0, 3.0, 8.0])
    g, i = (magnitudes(gw170817(), days, band)[0] for band in (1, 3))
    assert 17.3 < i[0] < 18.3  # observed 17.5 to 18 a day after the merger (Villar et al. 2017)
    assert 17.5 < g[0] < 19
    assert g[1] - g[0] > 1.5
    assert np.all(np.diff(g - i) > 0)  # reddens
    assert not np.isfinite(magnitudes(gw170817(), np.array([-5.0, 100.0]), 1)).any()


def test_kilonova_luminosity_obeys_arnett():
    model = importlib.import_module("skyreel_kilonova.kilonova")
    mass, velocity, opacity = np.array([0.03]), np.array([0.2]), np.array([1.0])
    power = model.luminosity(mass, velocity, opacity)[0]
    source = model.heating(mass, model.GRID)
    peak = power.argmax()
    np.testing.assert_allclose(power[peak], source[peak], rtol=0.03)  # Arnett's rule: at maximum they are equal
    np.testing.assert_allclose(power[-1], source[-1], rtol=0.05)  # and again once all heat escapes at once


def test_kilonova_distance_matches_cosmology():
    from astropy.cosmology import FlatLambdaCDM

    model = importlib.import_module("skyreel_kilonova.kilonova")
    redshift = np.array([0.005, 0.02, 0.05, 0.1])
    wanted = FlatLambdaCDM(70, 0.3).luminosity_distance(redshift).value
    np.testing.assert_allclose(model.luminosity_distance(redshift) / model.MEGAPARSEC, wanted, rtol=3e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 20))
def test_kilonovae_are_pure_and_never_nan(seed, n):
    source, rng = kilonova(), np.random.default_rng(seed)
    window = np.array([[57070.0, 57095.0]] * n)
    params = source.sample(n, rng, window=window)
    assert ((params["merger_mjd"] >= 57068) & (params["merger_mjd"] <= 57095)).all()
    mjd = rng.uniform(57060, 57120, (n, 15))
    band = rng.integers(0, 6, (n, 15)).astype(np.int8)
    mag = source.light_curve(params, mjd, band).mag
    assert not np.isnan(mag).any()
    order = rng.permutation(15)
    np.testing.assert_array_equal(source.light_curve(params, mjd[:, order], band[:, order]).mag, mag[:, order])
    one = source.light_curve({name: column[-1:] for name, column in params.items()}, mjd[-1:], band[-1:]).mag
    np.testing.assert_allclose(one, mag[-1:], rtol=1e-12)


def test_kilonovae_are_uniform_in_volume():
    redshift = kilonova(redshift_max=0.1).sample(20_000, np.random.default_rng(0))["redshift"]
    np.testing.assert_allclose(np.quantile(redshift, [0.125, 0.5]), [0.05, 0.1 * 0.5 ** (1 / 3)], rtol=0.02)
    assert kilonova().host_policy.redshift == "redshift"
    for options in ({"redshift_max": 0.5}, {"mass_min": 1.0}, {"host_fraction": 2.0}):
        with pytest.raises(ConfigError, match="kilonova"):
            kilonova(**options)


# ---------------------------------------------------------------------------------------------- both, installed


def test_shown_defaults_are_the_defaults():
    from dataclasses import asdict

    for shown, made in (("lsst/skyreel_lsst/conf/survey/lsst", lsst()), ("kilonova/skyreel_kilonova/conf/source/kilonova", kilonova())):
        text = (ROOT / "examples" / f"skyreel-{shown}.yaml").read_text()
        options = yaml.safe_load(text)
        assert options.pop("name") in shown
        assert options == asdict(made)
    assert text.startswith("# @package source.kilonova\n")


def core_hash() -> str:
    files = sorted(path for folder in ("core", "plugins", "surveys", "conf") for path in (ROOT / folder).rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Runs skyreel with both packages installed into a folder of their own; also tells the core's hash before."""
    before = core_hash()
    target = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--target",
        str(target),
    ]
    made = subprocess.run([*command, *map(str, EXAMPLES.values())], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    work = tmp_path_factory.mktemp("work")

    def skyreel(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from skyreel.cli import main; sys.exit(main())", *words],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    return skyreel, work, before


@pytest.mark.install
def test_installed_plugins_are_listed(installed):
    skyreel, _, _ = installed
    listing = json.loads(skyreel("plugins", "--json"))["plugins"]
    offered = {plugin["name"]: plugin["components"] for plugin in listing}
    for name, kind, option, unit in (("lsst", "survey", "median_seeing", "arcsec"), ("kilonova", "source", "mass_min", "solMass")):
        (component,) = offered[name]
        assert (component["kind"], component["name"]) == (kind, name)
        assert {"name": option, "unit": unit}.items() <= next(o for o in component["options"] if o["name"] == option).items()


@pytest.mark.install
def test_installed_plugins_compose(installed):
    skyreel, _, _ = installed
    config = yaml.safe_load(skyreel("train", "survey=lsst", "+source=kilonova", "--cfg", "job"))
    assert config["survey"]["name"] == "lsst"
    assert config["source"]["kilonova"]["redshift_max"] == 0.05
    assert len(config["source"]) == 8
    quick = yaml.safe_load(skyreel("train", "experiment=lsst_quick", "--cfg", "job"))
    assert quick["survey"] == {**config["survey"], "season": 90.0}


@pytest.mark.install
def test_installed_plugins_train_a_network_without_touching_the_core(installed):
    skyreel, work, before = installed
    overrides = ["survey=lsst", "+source=kilonova", "source.kilonova.redshift_max=0.02", "psf=moffat", "classifier=rcnn_small"]
    sizes = ["n_objects=16", "n_valid=8", "n_test=8", "trainer=quick", "trainer.max_steps=2", "trainer.batch_size=16"]
    skyreel("train", *overrides, *sizes, "executor=inprocess")
    models = list(work.rglob("model.json"))
    assert len(models) == 1
    task = json.loads(models[0].read_text())["task"]
    classes = list(task["classes"])
    assert classes[-1] == "kilonova"
    assert len(classes) == 8
    assert list(task["bands"]) == ["g", "r", "i"]
    assert core_hash() == before

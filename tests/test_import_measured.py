"""Conditions that an import measures on the images: sky, width, zero point, gain, depth."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from cutout_folder import EXPTIME, GAIN, PLAIN, READ_NOISE, SCALE, SIDE, entry, imported, stars
from hypothesis import given
from hypothesis import strategies as st

from skyreel.datasets import load_dataset
from skyreel.exchange.exporting import export
from skyreel.exchange.importing import Importer, ImportOptions
from skyreel.exchange.settle import limiting_magnitude, median_of_groups
from skyreel.light_curves import measure
from skyreel.movie_files import MovieFolder, write_shard
from skyreel.photometry.widths import profile_width


@pytest.fixture(scope="module")
def estimated(tmp_path_factory):
    """Sky, width, zero point, gain, read noise, depth: nothing of it stated."""
    folder = stars(tmp_path_factory.mktemp("stars"), objects=60, epochs=8)
    movies, done = imported(folder, SCALE, reference_mag="reference")
    return folder, movies, done


def test_pixels_and_what_headers_say(estimated):
    folder, movies, _ = estimated
    np.testing.assert_array_equal(movies.pixels[:, :, 0], folder.pixels.reshape(60, 8, SIDE, SIDE))
    assert movies.pixels.dtype == np.uint16
    assert movies.object_id.tolist() == [f"{k:03d}" for k in range(60)]  # names, not numbers
    assert movies.reported.bands == ("r",)
    np.testing.assert_array_equal(movies.reported.mjd[0], [header["MJD-OBS"] for header in folder.headers[:8]])
    assert (movies.reported.exptime == EXPTIME).all()
    assert (movies.first_detection == -1).all()
    assert movies.frame_mask.all()
    assert not movies.pixel_mask.any()
    movies.check("test")


def test_sky_comes_from_the_border(estimated):
    folder, movies, _ = estimated
    np.testing.assert_allclose(np.median(movies.reported.sky, axis=0), folder.sky, rtol=0.01)


def test_width_comes_from_the_stars(estimated):
    folder, movies, _ = estimated
    assert (np.ptp(movies.reported.psf_fwhm, axis=0) == 0).all()  # one width an exposure
    np.testing.assert_allclose(profile_width(movies.reported.psf_fwhm[0], "moffat", 4.0), folder.fwhm, rtol=0.02)
    np.testing.assert_allclose(movies.reported.seeing, 0.27 * movies.reported.psf_fwhm, rtol=1e-6)


def test_zero_point_inverts_equation_1(estimated):
    folder, movies, _ = estimated
    np.testing.assert_allclose(movies.reported.zero_point[0], folder.zero_point, atol=0.01)
    magnitude, _ = measure(movies).magnitudes()
    assert np.abs(np.nanmedian(magnitude, axis=1) - folder.mag).max() < 0.03


def test_gain_and_noise_come_from_variance_against_level(estimated):
    _, movies, done = estimated
    stated = float(re.search(r"([\d.]+) % error", entry(done, "gain")["how"]["estimated"])[1]) / 100
    assert stated < 0.04
    assert movies.reported.gain[0, 0] == pytest.approx(GAIN, rel=3 * stated)
    assert movies.reported.read_noise[0, 0] < 3 * READ_NOISE


def test_depth_is_five_sigma_of_photometry(estimated):
    folder, movies, _ = estimated
    faint = movies.take([0])
    point = measure(faint)
    sky_noise = 10 ** (0.4 * (25 - faint.reported.limiting_mag)) / 5
    empty = limiting_magnitude(folder.sky, GAIN, READ_NOISE, faint.reported.psf_fwhm[0], EXPTIME, folder.zero_point)
    np.testing.assert_allclose(faint.reported.limiting_mag[0], empty, atol=0.06)
    assert (sky_noise <= point.error).all()


def test_every_missing_condition_is_named(estimated):
    _, _, done = estimated
    how = {name: entry(done, name) for name in ("sky", "psf_fwhm", "zero_point", "gain", "read_noise", "limiting_mag")}
    assert all(item["from"] == {"estimated": 480} for item in how.values())
    assert "480 stars" in how["psf_fwhm"]["how"]["estimated"]
    assert "eq. 1" in how["zero_point"]["how"]["estimated"]
    assert "border" in how["sky"]["how"]["estimated"]
    assert entry(done, "airmass") | {"unit": None} == {
        "quantity": "airmass", "unit": None, "from": {"assumed": 480}, "how": {"assumed": "typical of a survey"}, "median": 1.4,
    }  # fmt: skip
    assert entry(done, "seeing")["from"] == {"derived": 480}
    assert entry(done, "mjd")["from"] == {"header": 480}


def test_estimates_stand_in_the_manifest(estimated):
    folder, _, done = estimated
    manifest = json.loads((folder.path / "out" / "movies.json").read_text())
    assert manifest["import"] == json.loads(json.dumps(done.summary))
    assert manifest["classes"] == ["non_variable"]
    assert MovieFolder(folder.path / "out").files[0].metadata["import"]["cutouts"] == 480


def test_conditions_do_not_depend_on_the_order_of_rows_or_batches(estimated, tmp_path, monkeypatch):
    folder, movies, _ = estimated
    monkeypatch.setattr("skyreel.exchange.importing.FRAMES", 37)
    rng = np.random.default_rng(1)
    table = Table.read(folder.table, format="ascii.csv", converters={"object_id": str})
    table[rng.permutation(len(table))].write(tmp_path / "shuffled.csv")
    options = ImportOptions(constants=SCALE, reference_mag="reference")
    Importer(tmp_path / "shuffled.csv", folder.path, options).run(tmp_path / "out")
    back = MovieFolder(tmp_path / "out")
    assert len(back.files) == 1
    back = back.take(np.argsort(back.object_id))
    np.testing.assert_array_equal(back.pixels, movies.pixels)
    for name in ("mjd", "sky", "psf_fwhm", "zero_point", "gain", "limiting_mag", "exposure_id"):
        np.testing.assert_allclose(getattr(back.reported, name), getattr(movies.reported, name), rtol=1e-6, err_msg=name)


def test_exposures_without_a_reference_star_are_masked_and_counted(tmp_path):
    folder = stars(tmp_path / "in", objects=6, epochs=4)
    for row in folder.rows:
        row["reference"] = "" if row["file"].endswith("_2.fits") else row["reference"]
    movies, done = imported(folder, {**SCALE, "gain": str(GAIN)}, reference_mag="reference")
    assert movies.frame_mask.tolist() == [[True, True, False, True]] * 6
    assert done.summary["masked_frames"] == {"no star of known magnitude in the exposure": 6}


def test_read_noise_follows_from_a_known_gain(tmp_path):
    folder = stars(tmp_path / "in", objects=60, epochs=3, sky=(5, 6), brightest=20)
    movies, done = imported(folder, {**PLAIN, "psf_fwhm": "4"})
    assert movies.reported.read_noise[0, 0] == pytest.approx(READ_NOISE, rel=0.05)
    assert "less its photon noise" in entry(done, "read_noise")["how"]["estimated"]


@pytest.mark.real_data
def test_estimates_on_the_real_sky(data_dir, tmp_path):
    """HiTS constants with sky, width, zero point, depth and read noise forgotten."""
    data = load_dataset("hits2015a", data_dir / "hits2015a")
    rows = np.flatnonzero(data.movies.label == "non_variable")[::3]
    real = data.movies.take(rows)
    export(MovieFolder(written(real, tmp_path)), tmp_path / "all.parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    table = table.filter(table["usable"])
    known = dict(zip(real.object_id.tolist(), data.columns["mean_mag"][rows].tolist(), strict=True))
    table = table.append_column("reference", pa.array([known[name] for name in table["object_id"].to_pylist()]))
    forgotten = ["sky", "psf_fwhm", "zero_point", "limiting_mag", "read_noise", "frame", "first_detection"]
    pq.write_table(table.drop_columns(forgotten), tmp_path / "some.parquet")
    Importer(tmp_path / "some.parquet", None, ImportOptions(reference_mag="reference")).run(tmp_path / "out")
    back = MovieFolder(tmp_path / "out").take(slice(None))
    ratio = {name: getattr(back.reported, name)[back.frame_mask] / getattr(real.reported, name)[real.frame_mask] for name in forgotten[:5]}
    assert np.median(ratio["sky"]) == pytest.approx(1, abs=0.02)
    assert np.median(ratio["psf_fwhm"]) == pytest.approx(1, abs=0.02)
    assert np.median(ratio["read_noise"]) == pytest.approx(1, abs=0.10)
    # PSF fluxes are 0.03 mag fainter than the catalogue with the survey's own zero points (README of the data)
    step = (back.reported.zero_point[back.frame_mask] - real.reported.zero_point[real.frame_mask]).astype(float)
    assert np.median(step) == pytest.approx(-0.03, abs=0.02)
    assert np.std(step) < 0.03


def written(movies, folder):
    write_shard(folder / "real" / "a.arrow", [movies], {})
    return folder / "real"


def test_saturation_is_assumed_and_said_so(tmp_path):
    movies, done = imported(stars(tmp_path / "in"))
    assert (movies.reported.saturation == 65535).all()
    assert "not flagged" in entry(done, "saturation")["how"]["assumed"]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-5, 5) | st.just(float("nan")), st.booleans()), min_size=1, max_size=60))
def test_median_of_groups_is_numpys(rows):
    group, value, use = (np.array(column) for column in zip(*rows, strict=True))
    found = median_of_groups(value, group, use)
    for k in range(group.max() + 1):
        mine = value[(group == k) & use & np.isfinite(value)]
        np.testing.assert_allclose(found[k], np.median(mine) if len(mine) else np.nan)

"""Your own cutouts as movies: values, their origins, estimates, and what is refused."""

import json
import re

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from cutout_folder import EXPTIME, GAIN, READ_NOISE, SIDE, stars
from hypothesis import given
from hypothesis import strategies as st
from verb_runs import left, refused, skyreel

from skyreel.datasets import load_dataset
from skyreel.errors import BandError, ConfigError, DataError, OutputError
from skyreel.exchange.exporting import export
from skyreel.exchange.importing import Importer, ImportOptions
from skyreel.exchange.settle import limiting_magnitude, median_of_groups
from skyreel.interfaces import PixelBits
from skyreel.light_curves import measure
from skyreel.movie_files import MovieFolder, write_shard
from skyreel.photometry.widths import profile_width

SCALE = {"pixel_scale": "0.27"}
PLAIN = {**SCALE, "gain": str(GAIN), "zero_point": "25.3"}


def imported(folder, constants=PLAIN, **options):
    done = Importer(folder.write(), None, ImportOptions(constants=constants, **options)).run(folder.path / "out")
    return MovieFolder(folder.path / "out").take(slice(None)), done


def refused_by(folder, match, error=DataError, constants=PLAIN, **options):
    with pytest.raises(error, match=match):
        imported(folder, constants, **options)
    assert not (folder.path / "out").exists()


def entry(done, name):
    return next(item for item in done.summary["quantities"] if item["quantity"] == name)


# -------------------------------------------------------------------------------------------------- estimates


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


# ------------------------------------------------------------------------------------------------- precedence


def test_table_before_header_before_constant_before_survey(tmp_path):
    folder = stars(tmp_path / "in", epochs=4)
    for row, header in zip(folder.rows, folder.headers, strict=True):
        t = int(row["file"][-6])
        row["gain"] = "2.5" if t == 0 else ""
        row["ccdnum"] = 25
        header["FILTER"] = "g DECam SDSS c0001 4720.0 1520.0"
        if t in (0, 1):
            header["GAIN"] = 3.0
    camera = Importer(folder.write(), None, ImportOptions(camera=hits())).options.camera
    movies, done = imported(folder, {"zero_point": "25"}, camera=camera)
    np.testing.assert_allclose(movies.reported.gain[0], [2.5, 3.0, 4.104, 4.104], rtol=1e-6)  # CCD 25
    assert entry(done, "gain")["from"] == {"table": 8, "header": 8, "survey": 16}
    movies, done = imported(stars_again(folder, tmp_path / "b"), {"zero_point": "25", "gain": "9"}, camera=camera)
    np.testing.assert_allclose(movies.reported.gain[0], [2.5, 3.0, 9, 9])
    assert movies.reported.bands == ("g",)
    assert movies.reported.saturation[0, 0] == 40469
    np.testing.assert_allclose(movies.reported.seeing, 0.27 * movies.reported.psf_fwhm, rtol=1e-6)


def hits():
    from skyreel.verbs.import_movies import _camera

    return _camera("hits")


def stars_again(folder, path):
    folder.path = path
    return folder


def test_other_spellings_and_maps(tmp_path):
    folder = stars(tmp_path / "in")
    for row, header in zip(folder.rows, folder.headers, strict=True):
        row["Filename"], row["quality"] = row["file"], 1
        row["ZeroP"] = 24.5
        header["JD"] = header.pop("MJD-OBS") + 2_400_000.5
        header["MYSKY"] = 400.0
        header["SECZ"] = "1.25"
        header["CD1_1"], header["CD2_1"] = 0.0, 0.5 / 3600
        header["EXPOSURE"] = header.pop("EXPTIME")
    movies, done = imported(folder, {"gain": "3.5"}, names={"ZeroP": "zero_point", "MYSKY": "sky"})
    assert (movies.reported.zero_point == 24.5).all()
    assert (movies.reported.sky == 400).all()
    assert (movies.reported.airmass == 1.25).all()
    np.testing.assert_allclose(movies.reported.seeing, 0.5 * movies.reported.psf_fwhm, rtol=1e-6)
    np.testing.assert_allclose(movies.reported.mjd[0, 0], 60000.2, atol=1e-8)
    assert entry(done, "mjd")["from"] == {"derived": 40}
    assert "columns left out: reference, Filename, quality" in done.summary["notes"]


@pytest.mark.parametrize(
    ("header", "mjd"),
    [
        ({"MJD-AVG": 60000.5}, 60000.5 - 45 / 86400),
        ({"DATE-OBS": "2023-02-25T06:00:00"}, 60000.25),
        ({"DATE-OBS": "2023-02-25T06:00:00", "MJD-OBS": 60001.0}, 60001.0),
    ],
)
def test_dates_in_other_forms(header, mjd, tmp_path):
    folder = stars(tmp_path / "in", epochs=1)
    for own in folder.headers:
        own.pop("MJD-OBS")
        own.update(header)
    movies, _ = imported(folder)
    np.testing.assert_allclose(movies.reported.mjd, mjd, atol=1e-8)


def test_zero_point_of_the_whole_image(tmp_path):
    movies, _ = imported(stars(tmp_path / "in"), zero_point_per_image=True)
    np.testing.assert_allclose(movies.reported.zero_point, 25.3 - 2.5 * np.log10(EXPTIME), rtol=1e-6)


def test_subtracted_sky_is_added_again(tmp_path):
    folder = stars(tmp_path / "in")
    whole = folder.pixels
    sky = np.tile(np.rint(folder.sky), 8)
    folder.pixels = (whole - sky[:, None, None]).astype(np.int32)
    for row, level in zip(folder.rows, sky, strict=True):
        row["sky"] = level
    movies, done = imported(folder)
    assert any("was it subtracted? then use --add-sky" in note for note in done.summary["notes"])
    movies, done = imported(stars_again(folder, tmp_path / "b"), add_sky=True)
    np.testing.assert_array_equal(movies.pixels[:, :, 0].reshape(-1, SIDE, SIDE), whole)
    assert not any("subtracted" in note for note in done.summary["notes"])


def test_units_of_the_table_count(tmp_path):
    folder = stars(tmp_path / "in")
    table = Table(rows=folder.rows)
    table["exptime"] = np.full(len(table), 1.5)
    table["exptime"].unit = "min"
    table["seeing"] = np.full(len(table), 1.0 / 3600)
    table["seeing"].unit = "deg"
    folder.write()
    table.write(folder.path / "t.ecsv", format="ascii.ecsv")
    Importer(folder.path / "t.ecsv", None, ImportOptions(constants=PLAIN)).run(tmp_path / "out")
    movies = MovieFolder(tmp_path / "out").take(slice(None))
    np.testing.assert_allclose(movies.reported.exptime, 90)
    np.testing.assert_allclose(movies.reported.seeing, 1.0, rtol=1e-6)
    table["exptime"].unit = "mag"
    table.write(folder.path / "u.ecsv", format="ascii.ecsv")
    with pytest.raises(DataError, match="column 'exptime': unit 'mag'; give it in 's'"):
        Importer(folder.path / "u.ecsv", None, ImportOptions(constants=PLAIN))


# ------------------------------------------------------------------------------------------------ stamps and masks


def test_saturated_and_missing_pixels_are_flagged(tmp_path):
    folder = stars(tmp_path / "in")
    folder.pixels = folder.pixels.astype(np.float32)
    folder.pixels[0, 10, 10] = 50_000
    folder.pixels[1, :3] = np.nan
    folder.pixels[2] = np.nan
    folder.pixels[3] = 7.0
    movies, done = imported(folder, {**PLAIN, "saturation": "50000"})
    bits = movies.pixel_mask[0, :, 0]
    assert bits[0, 10, 10] == PixelBits.SATURATED
    assert bits[0].sum() == PixelBits.SATURATED
    assert (bits[1, :3] == PixelBits.NO_DATA).all()
    assert not bits[1, 3:].any()
    assert (movies.pixels[0, 1, 0, :3] == 0).all()
    assert movies.pixels.dtype == np.uint16
    assert movies.frame_mask[0].tolist() == [True, True, False, False, True]
    assert movies.frame_mask[1:].all()
    assert done.summary["masked_frames"] == {"no usable pixel, or all pixels equal": 2}
    assert done.summary["cut_frames"] == 2
    assert any("2 cutouts" in note and "star000_1.fits (row 2)" in note for note in done.summary["notes"])
    movies.check("test")


def test_mixed_sizes_need_a_stamp_size(tmp_path):
    folder = stars(tmp_path / "in")
    images = list(folder.pixels)
    images[7] = np.pad(images[7], 4, constant_values=300)
    images[3] = images[3][:, 5:]
    folder.pixels = images
    refused_by(folder, r"star000_3.fits \(row 4\): 21 x 16 px, the first one 21 x 21 px; give --stamp-size")
    movies, done = imported(folder, stamp_size=21)
    np.testing.assert_array_equal(movies.pixels[1, 2, 0], stars(tmp_path / "x").pixels[7])
    assert done.summary["cut_frames"] == 1
    assert (movies.pixel_mask[0, 3] == PixelBits.NO_DATA).any(axis=1).sum() == 5  # columns


def test_a_cutout_off_the_edge_goes_to_its_place(tmp_path):
    folder = stars(tmp_path / "in")
    original = folder.pixels.copy()
    images = list(folder.pixels)
    images[3] = images[3][:, 5:]
    folder.pixels = images
    for k, row in enumerate(folder.rows):
        row["centre_x"], row["centre_y"] = (5, 10) if k == 3 else ("", "")
    movies, _ = imported(folder, stamp_size=21)
    np.testing.assert_array_equal(movies.pixels[0, 3, 0, :, 5:], original[3][:, 5:])
    assert (movies.pixel_mask[0, 3, 0, :, :5] == PixelBits.NO_DATA).all()
    assert not movies.pixel_mask[0, 3, 0, :, 5:].any()


@given(have=st.integers(7, 40), want=st.integers(7, 40))
def test_the_middle_pixel_stays_in_the_middle(have, want):
    from skyreel.exchange.stamps import Images, to_stamps

    image = np.ones((1, have, have))
    image[0, have // 2, have // 2] = 9
    made = to_stamps(Images([image], [None], [{}]), (1, want, want), None, ["a"], False)
    assert made.pixels[0, 0, want // 2, want // 2] == 9
    assert ((made.pixels[0] == 0) == (made.bits[0] == PixelBits.NO_DATA)).all()
    assert made.cut[0] == (have < want)


def test_too_small_and_oblong_stamps_are_refused(tmp_path):
    folder = stars(tmp_path / "in")
    folder.pixels = folder.pixels[:, :, 3:]
    refused_by(folder, "stamps of 21 x 18 px; give --stamp-size N, a side from 7 to 256 px")
    folder.pixels = folder.pixels[:, :5, :5]
    refused_by(folder, "stamps of 5 x 5 px")


# ------------------------------------------------------------------------------------------------- time and objects


def test_unsorted_rows_are_sorted_by_date(tmp_path):
    folder = stars(tmp_path / "in")
    straight, _ = imported(folder)
    folder.rows, folder.pixels, folder.headers = folder.rows[::-1], folder.pixels[::-1], folder.headers[::-1]
    movies, _ = imported(stars_again(folder, tmp_path / "b"))
    np.testing.assert_array_equal(movies.pixels[::-1], straight.pixels)
    assert (np.diff(movies.reported.mjd) > 0).all()


def test_two_images_at_the_same_time_are_refused(tmp_path):
    folder = stars(tmp_path / "in")
    folder.headers[1]["MJD-OBS"] = folder.headers[0]["MJD-OBS"]
    refused_by(folder, r"object '000': star000_0.fits \(row 1\) and star000_1.fits \(row 2\) have the same MJD \(60000.200000\)")


def test_frames_out_of_time_order_are_refused(tmp_path):
    folder = stars(tmp_path / "in")
    for k, row in enumerate(folder.rows):
        row["frame"] = [0, 2, 1, 3, 4][k % 5]
    refused_by(folder, "are out of time order")


def test_first_detections_by_date_or_index(tmp_path):
    folder = stars(tmp_path / "in")
    for k, row in enumerate(folder.rows):
        row["first_detection_mjd"] = {0: 60002.0, 1: "", 2: 59000.0, 3: 61000.0}.get(k // 5, "")
        row["first_detection"] = 4 if k // 5 == 4 else ""
    movies, _ = imported(folder)
    assert movies.first_detection.tolist() == [2, -1, 0, -1, 4, -1, -1, -1]
    for row in folder.rows[:5]:
        row["first_detection"] = 5
    folder.path = tmp_path / "b"
    refused_by(folder, "first_detection: 5 for '000' with 5 frames")


def test_an_object_has_one_label(tmp_path):
    folder = stars(tmp_path / "in")
    folder.rows[3]["label"] = "asteroid"
    refused_by(folder, r"label: 'asteroid' in star000_3.fits \(row 4\), 'non_variable' in another row of '000'")


# ------------------------------------------------------------------------------------------------ what is missing or wrong


@pytest.mark.parametrize("key", ["MJD-OBS", "FILTER", "EXPTIME"])
def test_a_missing_key_is_named(key, tmp_path):
    folder = stars(tmp_path / "in")
    del folder.headers[11][key]
    name = {"MJD-OBS": "mjd", "FILTER": "band", "EXPTIME": "exptime"}[key]
    refused_by(folder, rf"import: {name}: not known for 1 of 40 cutouts, first star002_1.fits \(row 12\); give .*{key}.*--set {name}=")


@pytest.mark.parametrize(
    ("missing", "words"),
    [("gain", "lie too close together.*GAIN"), ("zero_point", "--reference-mag.*MAGZERO"), ("pixel_scale", "seeing.*no pixel scale")],
)
def test_what_cannot_be_estimated_is_named(missing, words, tmp_path):
    folder = stars(tmp_path / "in", sky=(200, 205))
    refused_by(folder, words, constants={key: value for key, value in PLAIN.items() if key != missing})


def test_no_width_without_stars(tmp_path):
    folder = stars(tmp_path / "in")
    folder.pixels = np.random.default_rng(0).poisson(300, folder.pixels.shape).astype(np.int32)
    refused_by(folder, "psf_fwhm: not known for 40 of 40 .* no cutout has a single star")
    for header in folder.headers:
        header["SEEING"] = 1.08
    movies, done = imported(folder)
    np.testing.assert_allclose(movies.reported.psf_fwhm, 4.0, rtol=1e-6)
    assert entry(done, "psf_fwhm")["from"] == {"derived": 40}


def test_rows_and_files_must_match(tmp_path):
    folder = stars(tmp_path / "in")
    folder.left_out = {"star001_2.fits"}
    refused_by(folder, r"table.csv: star001_2.fits \(row 8\) is not in .*in; add the file or drop the row")
    folder = stars(tmp_path / "b")
    folder.rows[5]["file"] = folder.rows[4]["file"]
    refused_by(folder, "rows 5 and 6 name the same image, star000_4.fits")
    folder = stars(tmp_path / "c")
    folder.write()
    folder.rows, folder.pixels, folder.headers = folder.rows[:-2], folder.pixels[:-2], folder.headers[:-2]
    _, done = imported(folder)
    assert any("2 FITS files" in note and "star007_3.fits, star007_4.fits" in note for note in done.summary["notes"])


def test_damaged_files_are_named(tmp_path):
    folder = stars(tmp_path / "in")
    table = folder.write()
    victim = folder.path / "star003_1.fits"
    whole = victim.read_bytes()
    for content in (whole[:3000], b"", b"not FITS at all" * 400, whole[:1000]):
        victim.write_bytes(content)
        with pytest.raises(DataError, match=r"cutout star003_1.fits \(row 17\): not a whole FITS image"):
            Importer(table, None, ImportOptions(constants=PLAIN)).run(tmp_path / "out")
    columns = [fits.Column("a", "E", array=np.ones(3))]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(victim, overwrite=True)
    with pytest.raises(DataError, match=r"star003_1.fits \(row 17\): no HDU is an image"):
        Importer(table, None, ImportOptions(constants=PLAIN)).run(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hdus_are_chosen_by_number_or_name(tmp_path):
    folder = stars(tmp_path / "in", objects=1, epochs=2)
    folder.write()
    images = [fits.ImageHDU(image, fits.Header(header)) for image, header in zip(folder.pixels, folder.headers, strict=True)]
    images[1].name = "SECOND"
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.ones(3))])
    fits.HDUList([fits.PrimaryHDU(), images[0], table, images[1]]).writeto(folder.path / "all.fits")
    for row, hdu in zip(folder.rows, ("1", "SECOND"), strict=True):
        row["file"], row["hdu"] = "all.fits", hdu

    def run(name):
        Table(rows=folder.rows).write(folder.path / f"{name}.csv")
        Importer(folder.path / f"{name}.csv", None, ImportOptions(constants=PLAIN)).run(tmp_path / name)
        return MovieFolder(tmp_path / name).take(slice(None))

    np.testing.assert_array_equal(run("a").pixels[0, :, 0], folder.pixels)
    folder.rows[0]["hdu"] = "2"
    with pytest.raises(DataError, match=r"all.fits \(row 1\): HDU 2 is no image"):
        run("b")
    folder.rows[0]["hdu"] = "7"
    with pytest.raises(DataError, match=r"all.fits \(row 1\): no HDU 7; the file has 4"):
        run("c")


def test_a_band_of_another_survey_is_named(tmp_path):
    refused_by(stars(tmp_path / "in"), r"band: 'r' in star000_0.fits \(row 1\); known are g", BandError, camera=hits())
    refused_by(stars(tmp_path / "b"), "known are g, i", BandError, bands=("g", "i"))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("gain", "four", "column 'gain': 'four' in row 3; give a number"),
        ("gain", "-1", r"import: gain: -1 in star000_2.fits \(row 3\); it must be positive"),
        ("exptime", "0", r"import: exptime: 0 in star000_2.fits \(row 3\)"),
        ("mjd", "2460000.5", r"import: mjd: 2460000.50000 in star000_2.fits \(row 3\); give modified Julian dates"),
        ("object_id", "", r"object_id: empty in star000_2.fits \(row 3\)"),
        ("file", "", "no file in row 3"),
        ("frame", "1", r"frame: not given for star000_0.fits \(row 1\)"),
    ],
)
def test_wrong_values_are_named(column, value, words, tmp_path):
    folder = stars(tmp_path / "in")
    for row in folder.rows:
        row.setdefault(column, "")
    table = folder.write()
    folder.rows[2][column] = value
    Table(rows=folder.rows).write(table, format="ascii.csv", overwrite=True)
    with pytest.raises(DataError, match=words):
        Importer(table, None, ImportOptions(constants=PLAIN)).run(tmp_path / "out")


def test_tables_that_cannot_be_read(tmp_path):
    (tmp_path / "a.csv").write_text("file,object_id\nx.fits\n")
    (tmp_path / "b.csv").write_text("file,object_id\n")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 nothing")
    (tmp_path / "d.csv").write_text("file,mjd\nx.fits,3\n")
    (tmp_path / "x.fits").touch()
    (tmp_path / "e.txt").touch()
    (tmp_path / "f.csv").write_text("object_id,mjd\na,3\n")
    for name, words in {
        "a.csv": "row 1 has 1 values for 2 columns",
        "b.csv": "no rows",
        "c.parquet": "not readable as PARQUET",
        "d.csv": "columns file, mjd; name the objects in a column `object_id`",
        "e.txt": "ending '.txt'; use .csv, .ecsv, .parquet, .npz, .h5 or .hdf5",
        "f.csv": "name the files in a column `file`",
        "g.csv": "there is no such file",
    }.items():
        with pytest.raises(DataError, match=re.escape(words)):
            Importer(tmp_path / name)


# --------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("suffix", ["npz", "h5"])
@pytest.mark.parametrize("ragged", [False, True])
def test_arrays(suffix, ragged, tmp_path):
    folder = stars(tmp_path / "in", objects=4, epochs=5)
    reference, _ = imported(folder)
    arrays = {
        "pixels": folder.pixels.reshape(4, 5, SIDE, SIDE),
        "mjd": np.array([header["MJD-OBS"] for header in folder.headers]).reshape(4, 5),
        "object_id": np.array([f"{k:03d}" for k in range(4)]),
        "label": np.array(["non_variable"] * 4),
        "band": np.full((4, 5), "r"),
        "exptime": np.full(4, EXPTIME),
    }
    keep = np.ones((4, 5), bool)
    keep[1, 3:] = False
    if ragged:
        arrays = {name: value[keep] if value.shape[:2] == (4, 5) else value for name, value in arrays.items()}
        arrays["n_frames"] = keep.sum(axis=1)
    else:
        arrays["mjd"][~keep] = np.nan
    path = tmp_path / f"arrays.{suffix}"
    if suffix == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, value in arrays.items():
                file[name] = value.astype(object) if value.dtype.kind == "U" else value
    done = Importer(path, None, ImportOptions(constants=PLAIN)).run(tmp_path / "out")
    movies = MovieFolder(tmp_path / "out").take(slice(None))
    assert done.frames == 18
    np.testing.assert_array_equal(movies.object_id, reference.object_id)
    np.testing.assert_array_equal(movies.label, reference.label)
    np.testing.assert_array_equal(movies.frame_mask, keep)
    np.testing.assert_array_equal(movies.pixels[keep], reference.pixels[keep])
    np.testing.assert_array_equal(movies.reported.mjd[keep], reference.reported.mjd[keep])
    np.testing.assert_array_equal(movies.reported.sky[keep], reference.reported.sky[keep])


def test_arrays_that_do_not_fit(tmp_path):
    pixels = np.ones((4, 5, 21, 21))
    for arrays, words in (
        ({"flux": pixels}, "holds flux; store the images under the name `pixels`"),
        ({"pixels": np.ones((21, 21))}, "pixels: shape (21, 21)"),
        ({"pixels": pixels, "mjd": np.ones((4, 6))}, "mjd: shape (4, 6); pixels (4, 5, 21, 21)"),
        ({"pixels": pixels, "pixel_mask": np.ones((4, 5))}, "pixel_mask: shape (4, 5)"),
        ({"pixels": pixels[0], "n_frames": np.array([2, 2])}, "n_frames: 4 frames in sum; pixels hold 5"),
        ({"pixels": pixels, "mjd": np.array([None] * 4)}, "not a readable archive"),
    ):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(DataError, match=re.escape(words)):
            Importer(tmp_path / "a.npz")


def test_parquet_without_metadata_holds_square_images(tmp_path):
    folder = stars(tmp_path / "in", objects=2, epochs=3)
    reference, _ = imported(folder)
    columns = {
        "pixels": folder.pixels.reshape(6, -1).tolist(),
        "object_id": [row["object_id"] for row in folder.rows],
        "mjd": [header["MJD-OBS"] for header in folder.headers],
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    constants = {**PLAIN, "band": "r", "exptime": "90"}
    Importer(tmp_path / "m.parquet", None, ImportOptions(constants=constants)).run(tmp_path / "out")
    np.testing.assert_array_equal(MovieFolder(tmp_path / "out").take(slice(None)).pixels, reference.pixels)
    columns["pixels"][4] = columns["pixels"][4][:-1]
    pq.write_table(pa.table(columns), tmp_path / "n.parquet")
    with pytest.raises(DataError, match=r"pixels: lists of \[440, 441\] values"):
        Importer(tmp_path / "n.parquet", None, ImportOptions(constants=constants)).run(tmp_path / "out2")


# ----------------------------------------------------------------------------------------------------- the verb


def test_verb_names_what_it_estimated(tmp_path):
    folder = stars(tmp_path / "in", objects=20)
    folder.write()
    args = ["import", "in/table.csv", "--output", "out", "--reference-mag", "reference", "--set", "pixel_scale=0.27"]
    done = skyreel(*args, "--set", "gain=3.5", cwd=tmp_path)
    assert done.code == 0, done.err
    assert re.search(r"sky +estimated for 100 of 100 cutouts: clipped median of the border of each cutout, .*; median \d+", done.out)
    assert re.search(r"airmass +assumed for 100 of 100 cutouts: typical of a survey; median 1.4", done.out)
    assert not re.search(r"^(gain|mjd|exptime)", done.out, re.M)
    assert "20 movies of 100 frames in out" in done.out
    refused(skyreel(*args, cwd=tmp_path), "output out: it already holds movies")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--set", "gian=3"], "--set: no quantity 'gian'; known are .*did you mean 'gain'"),
        (["--map", "a=gian"], "--map: no quantity 'gian'"),
        (["--set", "gain"], "--set: 'gain'; write --set NAME=VALUE"),
        (["--set", "gain=x"], "--set gain: 'x'; give a number"),
        (["--reference-mag", "mags"], "no column 'mags'; .*table.csv has file, object_id, reference, label"),
        (["--survey", "hitz"], "hitz"),
    ],
)
def test_verb_refuses_options(args, words, tmp_path):
    stars(tmp_path / "in", objects=1, epochs=1).write()
    done = skyreel("import", "in/table.csv", "--output", "out", *args, cwd=tmp_path)
    refused(done)
    assert re.search(words, done.err), done.err
    assert "out" not in left(tmp_path)


def test_imported_movies_are_classified(made, tmp_path):
    folder = stars(tmp_path / "in", objects=5, epochs=6)
    folder.headers = [{**header, "FILTER": "g"} for header in folder.headers]
    imported(folder)
    done = skyreel("classify", f"model={made / 'run'}", "input=in/out", "output=p.parquet", "hydra.run.dir=runs", cwd=tmp_path)
    assert done.code == 0, done.err
    table = pq.read_table(tmp_path / "p.parquet").to_pydict()
    assert len(table["object_id"]) == 30
    sums = np.sum([table[name] for name in table if name.startswith("p_")], axis=0)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_output_must_be_new(tmp_path):
    folder = stars(tmp_path / "in", objects=2)
    imported(folder)
    with pytest.raises(OutputError, match="already holds movies"):
        imported(folder)
    with pytest.raises(ConfigError, match="--bands"):
        ImportOptions(camera=hits(), bands=("z",))

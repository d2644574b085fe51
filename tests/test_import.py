"""Your own cutouts as movies: values, their origins, stamps, masks, dates."""

import numpy as np
import pytest
from astropy.table import Table
from cutout_folder import EXPTIME, PLAIN, SIDE, entry, hits, imported, refused_by, stars
from hypothesis import given
from hypothesis import strategies as st

from skyreel.errors import DataError
from skyreel.exchange.importing import Importer, ImportOptions
from skyreel.interfaces import PixelBits
from skyreel.movie_files import MovieFolder

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

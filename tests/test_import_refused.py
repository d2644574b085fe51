"""What an import refuses, by name; arrays, and the verb."""

import re

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from cutout_folder import EXPTIME, PLAIN, SIDE, entry, hits, imported, refused_by, stars
from verb_runs import left, refused, skyreel

from skyreel.errors import BandError, ConfigError, DataError, OutputError
from skyreel.exchange.importing import Importer, ImportOptions
from skyreel.movie_files import MovieFolder

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

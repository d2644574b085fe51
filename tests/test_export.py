"""Movies written as Parquet, HDF5 and FITS, and read back."""

import dataclasses
import json

import builders
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.units import Unit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from verb_runs import left, refused, skyreel

from skyreel.datasets import load_dataset
from skyreel.errors import ConfigError, DataError, OutputError
from skyreel.exchange.exporting import HEADER, export, file_name
from skyreel.exchange.importing import Importer
from skyreel.exposures import DTYPES
from skyreel.movie_files import MovieFolder, write_shard

TARGETS = {"parquet": "movies.parquet", "hdf5": "movies.h5", "fits": "movies"}


class Store:
    """Movies in memory as a store."""

    def __init__(self, movies):
        self.movies, self.label, self.object_id = movies, movies.label, movies.object_id

    def __len__(self):
        return len(self.movies)

    def take(self, rows):
        return self.movies.take(rows)


def round_trip(movies, kind, folder):
    target = folder / TARGETS[kind]
    export(Store(movies), target, kind)
    back = Importer(target / "table.ecsv" if kind == "fits" else target).run(folder / "back")
    assert back.movies == len(movies)
    return MovieFolder(folder / "back").take(slice(None)), back


def assert_same(movies, back):
    keep = (
        np.arange(movies.frame_mask.shape[1]) < (movies.reported.mask.shape[1] - np.argmax(movies.reported.mask[:, ::-1], axis=1))[:, None]
    )
    there = np.arange(back.frame_mask.shape[1]) < keep.sum(axis=1)[:, None]
    np.testing.assert_array_equal(back.object_id, movies.object_id)
    np.testing.assert_array_equal(back.label, movies.label)
    np.testing.assert_array_equal(back.first_detection, movies.first_detection)
    np.testing.assert_array_equal(back.pixels[there], movies.pixels[keep])
    np.testing.assert_array_equal(back.pixel_mask[there], movies.pixel_mask[keep])
    np.testing.assert_array_equal(back.frame_mask[there], movies.frame_mask[keep])
    assert back.reported.bands == movies.reported.bands
    exists = movies.reported.mask[keep]
    np.testing.assert_array_equal(back.reported.mask[there], exists)
    for name in DTYPES:
        np.testing.assert_array_equal(
            getattr(back.reported, name)[there][exists], getattr(movies.reported, name)[keep][exists], err_msg=name
        )


@pytest.fixture(scope="module")
def movies():
    """Two bands, pixel masks, a gap, an exposure that is not known, an alert."""
    made = builders.movies(n=9, epochs=7, seed=2)
    reported = made.reported.replace(
        band=np.where(made.reported.mjd % 2 < 1, 0, 1),
        exposure_id=np.arange(63).reshape(9, 7) + 2**61,
        field=np.full((9, 7), -3),
    )
    reported = dataclasses.replace(reported, bands=("r", "g", "u"))
    mask = reported.mask.copy()
    mask[4, 0] = False
    usable = mask.copy()
    usable[:, 1] = False
    bits = made.pixel_mask.copy()
    bits[3, 1, 0, 2:5, 0] = 8
    first = np.where(np.arange(9) % 3 == 0, 1, -1).astype(np.int32)
    label = np.array(["asteroid", "", "my class"] * 3)
    return dataclasses.replace(
        made, reported=reported.replace(mask=mask), frame_mask=usable, pixel_mask=bits, first_detection=first, label=label
    )


@pytest.mark.parametrize("kind", list(TARGETS))
def test_back_and_forth_changes_nothing(kind, movies, tmp_path):
    back, _ = round_trip(movies, kind, tmp_path)
    assert back.pixels.dtype == np.uint16
    assert_same(movies, back)
    assert back.truth is None


@pytest.mark.parametrize("kind", list(TARGETS))
def test_back_and_forth_with_fractions_of_an_adu_and_channels(kind, movies, tmp_path):
    pixels = np.concatenate([movies.pixels + 0.25, movies.pixels - 3.5], axis=2).astype(np.float32)
    bits = np.concatenate([movies.pixel_mask, movies.pixel_mask], axis=2)
    pixels[3, 1, 0, 2:5, 0] = np.nan  # flagged as no data
    both = dataclasses.replace(movies, pixels=pixels, pixel_mask=bits)
    back, _ = round_trip(both, kind, tmp_path)
    assert back.pixels.dtype == np.float32
    assert_same(both, back)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(n=st.integers(1, 12), epochs=st.integers(2, 9), seed=st.integers(0, 1000), kind=st.sampled_from(["parquet", "hdf5"]))
def test_back_and_forth_for_any_lengths(n, epochs, seed, kind, tmp_path_factory):
    made = builders.movies(n=n, epochs=epochs, seed=seed)
    back, _ = round_trip(made, kind, tmp_path_factory.mktemp("trip"))
    assert_same(made, back)


@pytest.mark.real_data
@pytest.mark.parametrize("kind", list(TARGETS))
def test_real_objects_survive(kind, data_dir, tmp_path):
    real = load_dataset("hits2015a", data_dir / "hits2015a").movies
    rows = np.concatenate(
        [np.flatnonzero(real.label == name)[:6] for name in ("supernova", "rr_lyrae", "eclipsing_binary", "non_variable")]
    )
    chosen = real.take(rows)
    back, done = round_trip(chosen, kind, tmp_path)
    assert_same(chosen, back)
    stated = [entry["from"] for entry in done.summary["quantities"]]
    assert all(set(origin) == {"table"} for origin in stated)


def test_parquet_has_units_and_one_row_a_frame(movies, tmp_path):
    frames = export(Store(movies), tmp_path / "m.parquet")
    table = pq.read_table(tmp_path / "m.parquet")
    assert table.num_rows == frames
    units = {item.name: item.metadata[b"unit"].decode() for item in table.schema if item.metadata and b"unit" in item.metadata}
    assert units["mjd"] == "d"
    assert units["sky"] == "adu / pix"
    assert units["gain"] == "electron / adu"
    assert json.loads(table.schema.metadata[b"skyreel.bands"]) == ["r", "g", "u"]
    row = table.slice(0, 1).to_pylist()[0]
    assert row["pixels"] == movies.pixels[0, 0].ravel().tolist()
    assert row["band"] == movies.reported.bands[movies.reported.band[0, 0]]
    assert row["true_flux"] == pytest.approx(float(movies.truth.flux[0, 0]))
    assert row["param_period"] == movies.truth.params["period"][0]


def test_hdf5_has_units(movies, tmp_path):
    export(Store(movies), tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["exptime"].attrs["units"] == "s"
        assert file["pixels"].attrs["units"] == "adu"
        assert file["n_frames"][:].sum() == len(file["pixels"])
        assert all(Unit(item.attrs["units"]) for item in file.values() if "units" in item.attrs)


def test_fits_stands_alone(movies, tmp_path):
    export(Store(movies), tmp_path / "m")
    table = Table.read(tmp_path / "m" / "table.ecsv")
    assert str(table["read_noise"].unit) == "electron"
    with fits.open(tmp_path / "m" / table["file"][0]) as hdus:
        assert hdus[0].header["OBJECT"] == movies.object_id[0]
        image = hdus[int(table["hdu"][0])]
        np.testing.assert_array_equal(image.data, movies.pixels[0, 0, 0])
        for column, keyword in HEADER.items():
            if column != "band":
                assert image.header[keyword] == getattr(movies.reported, column)[0, 0]
        assert image.header["FILTER"] in ("r", "g")
        np.testing.assert_array_equal(hdus[int(table["mask_hdu"][0])].data, movies.pixel_mask[0, 0, 0])


def test_names_of_files_differ_on_every_system():
    taken = set()
    names = [file_name(name, taken) for name in ("a/b", "a_b", "A_B", "..", "", "star 1", "x" * 300)]
    assert len({name.lower() for name in names}) == len(names)
    assert not [name for name in names if "/" in name or name.startswith(".") or len(name) > 140]


def test_what_cannot_be_exported(movies, tmp_path):
    twice = dataclasses.replace(movies, object_id=np.array(["a"] * 2 + [f"b{k}" for k in range(7)]))
    with pytest.raises(DataError, match="1 names of objects occur twice, first a"):
        export(Store(twice), tmp_path / "m.parquet")
    with pytest.raises(ConfigError, match="format: 'csv'; use one of parquet, hdf5, fits"):
        export(Store(movies), tmp_path / "m", "csv")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OutputError, match="not empty"):
        export(Store(movies), tmp_path / "full", "fits")
    with pytest.raises(OutputError, match="it is a folder"):
        export(Store(movies), tmp_path / "full", "hdf5")
    assert left(tmp_path) == {"full", "full/file"}


def test_a_failure_leaves_nothing(movies, tmp_path):
    class Failing(Store):
        def take(self, rows):
            if np.ndim(rows) and len(rows) > 1:
                raise OSError("gone")
            return super().take(rows)

    for kind, name in TARGETS.items():
        with pytest.raises(OutputError, match="gone"):
            export(Failing(movies), tmp_path / name, kind)
    assert not left(tmp_path)


def test_verb(tmp_path):
    made = builders.movies(n=4)
    write_shard(tmp_path / "in" / "a.arrow", [made], {})
    for target in TARGETS.values():
        done = skyreel("export", "input=in", f"output={target}", "hydra.run.dir=runs", cwd=tmp_path)
        assert done.code == 0, done.err
        assert f"frames of 4 movies in {target}" in done.out
    done = skyreel("import", "movies.h5", "--output", "back", cwd=tmp_path)
    assert done.code == 0, done.err
    assert_same(made, MovieFolder(tmp_path / "back").take(slice(None)))
    refused(skyreel("export", "input=in", "hydra.run.dir=runs", cwd=tmp_path), "output: not given")
    refused(skyreel("export", "input=in", "output=x", "format=csv", "hydra.run.dir=runs", cwd=tmp_path), "use one of parquet, hdf5, fits")
    refused(skyreel("export", "output=x", "hydra.run.dir=runs", cwd=tmp_path), "neither input nor dataset")

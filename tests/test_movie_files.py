"""Movies on disk: everything comes back, nothing half-written, clear errors."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from builders import movies
from hypothesis import given
from hypothesis import strategies as st

from skyreel.errors import DataError, MovieFileError, OutputError
from skyreel.exposures import DTYPES
from skyreel.movie_files import MovieFile, MovieFolder, write_manifest, write_shard
from skyreel.movies import Movies, lossless


def same(a: Movies, b: Movies) -> None:
    epochs = max(a.frame_mask.shape[1], b.frame_mask.shape[1])
    a, b = a.pad(epochs), b.pad(epochs)
    for name in ("pixels", "pixel_mask", "frame_mask", "label", "object_id", "first_detection"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.truth is not None
    assert b.truth is not None
    np.testing.assert_array_equal(a.truth.flux, b.truth.flux)
    np.testing.assert_array_equal(a.truth.centre, b.truth.centre)
    np.testing.assert_array_equal(a.truth.params["period"], b.truth.params["period"])
    for name in DTYPES:
        left, right = getattr(a.reported, name), getattr(b.reported, name)
        np.testing.assert_array_equal(left[a.reported.mask], right[a.reported.mask], err_msg=name)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_round_trip_keeps_every_value(tmp_path: Path, dtype: type) -> None:
    a, b = movies(5, seed=1, dtype=dtype), movies(4, 4, seed=2, dtype=dtype)
    assert write_shard(tmp_path / "x.arrow", [a, b], {"config": "none"}) == 9
    back = MovieFile(tmp_path / "x.arrow")
    assert back.metadata == {"config": "none"}
    assert back.take(np.arange(5)).pixels.dtype == np.uint16  # whole ADU, whatever they came in
    same(back.take(np.arange(9)), Movies.concatenate([a, b]))


def test_random_access_over_shards_keeps_the_order_asked_for(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.arrow", [movies(5, seed=1)], {})
    write_shard(tmp_path / "b.arrow", [movies(5, seed=2)], {})
    folder = MovieFolder(tmp_path)
    assert len(folder) == 10
    index = np.array([7, 0, 3, 9, 7])
    np.testing.assert_array_equal(folder.take(index).object_id, folder.object_id[index])
    same(folder.take(index), Movies.concatenate([movies(5, seed=1), movies(5, seed=2)]).take(index))


def test_a_single_shard_is_a_set(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.arrow", [movies()], {})
    assert len(MovieFolder(tmp_path / "a.arrow")) == 5


def test_missing_truncated_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MovieFileError, match=r"gone.arrow: no such file"):
        MovieFolder(tmp_path / "gone.arrow")
    with pytest.raises(MovieFileError, match=r"without .arrow files; run `skyreel simulate"):
        MovieFolder(tmp_path)
    whole = tmp_path / "whole.arrow"
    write_shard(whole, [movies()], {})
    cut = tmp_path / "cut.arrow"
    cut.write_bytes(whole.read_bytes()[:-300])
    with pytest.raises(MovieFileError, match="not a whole Arrow file"):
        MovieFile(cut)
    foreign = tmp_path / "foreign.arrow"
    table = pa.table({"a": [1]})
    with pa.OSFile(str(foreign), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(MovieFileError, match="that skyreel did not write"):
        MovieFile(foreign)
    other = tmp_path / "other.arrow"
    head = {"skyreel.schema_version": "99"}
    with pa.OSFile(str(other), "wb") as sink, pa.ipc.new_file(sink, table.schema.with_metadata(head)) as writer:
        writer.write_table(table.replace_schema_metadata(head))
    with pytest.raises(MovieFileError, match="schema version 99, this skyreel reads 1"):
        MovieFile(other)


def test_nothing_half_written_when_a_batch_fails(tmp_path: Path) -> None:
    def batches() -> Iterator[Movies]:
        yield movies()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_shard(tmp_path / "x.arrow", batches(), {})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(OutputError, match="free space"):
        write_shard(blocker / "x.arrow", [movies()], {})


def test_disk_full_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fileno: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"x.arrow: .*No space left on device; choose a folder with free space"):
        write_shard(tmp_path / "x.arrow", [movies(200)], {})
    assert list(tmp_path.iterdir()) == []


def test_movies_of_wrong_shape_or_with_nan_are_refused() -> None:
    good = movies(dtype=np.float32)
    with pytest.raises(DataError, match="movies.frame_mask"):
        Movies(good.pixels, good.pixel_mask, good.frame_mask[:, :2], good.reported, good.label, good.object_id, good.first_detection)
    pixels = good.pixels.copy()
    pixels[1, 0, 0, 2, 2] = np.nan
    bad = Movies(pixels, good.pixel_mask, good.frame_mask, good.reported, good.label, good.object_id, good.first_detection)
    with pytest.raises(DataError, match=r"NaN in object 'object-0-1', frame 0; set those pixels in pixel_mask"):
        bad.check("unit test")


def test_whole_adu_are_stored_in_two_bytes_only_where_lossless() -> None:
    assert lossless(np.array([0.0, 65535.0], np.float32)).dtype == np.uint16
    for values in ([0.5, 1.0], [-1.0, 2.0], [65536.0]):
        out = lossless(np.array(values, np.float32))
        assert out.dtype == np.float32
        np.testing.assert_array_equal(out, np.array(values, np.float32))


@pytest.mark.parametrize("value", [0.5, -3.0, 70000.0, 16777215.0, np.nan])
def test_movies_that_need_float_share_a_shard_with_those_that_do_not(value: float, tmp_path: Path) -> None:
    """Also where only the second batch, or one movie of it, is not whole ADU from 0 to 65535."""
    first, second = movies(5, seed=1), movies(5, seed=2, dtype=np.float32)
    pixels = second.pixels.copy()
    pixels[3, 0, 0, 4, 4] = value
    second = replace(second, pixels=pixels)
    write_shard(tmp_path / "x.arrow", [first, second], {})
    back = MovieFile(tmp_path / "x.arrow")
    assert back.take(np.arange(8)).pixels.dtype == np.uint16
    together = back.take(np.arange(10))
    assert together.pixels.dtype == np.float32
    same(together, Movies.concatenate([first, second]))


def test_pixels_of_another_type_are_refused(tmp_path: Path) -> None:
    made = movies()
    with pytest.raises(DataError, match="pixels of type int32; hand in uint16 or float32"):
        write_shard(tmp_path / "x.arrow", [replace(made, pixels=made.pixels.astype(np.int32))], {})
    assert list(tmp_path.iterdir()) == []


@given(rows=st.lists(st.integers(0, 18), min_size=1, max_size=12), held=st.sampled_from([0, 2**28]))
def test_any_rows_come_back_in_any_order(rows: list[int], held: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Rows of several batches and shards, repeated ones too, whether or not files are let go in between."""
    parts = [movies(5, seed=1), movies(4, 4, seed=2), movies(7, seed=3), movies(3, 3, seed=4)]
    folder = tmp_path_factory.mktemp("set")
    write_shard(folder / "a.arrow", parts[:2], {})
    write_shard(folder / "b.arrow", parts[2:], {})
    store, chosen = MovieFolder(folder), np.array(rows)
    if not held:
        store.take(slice(None))
        store.release()
    whole = Movies.concatenate(parts).take(chosen)
    same(store.take(chosen), whole)
    without = MovieFolder(folder, truth=False).take(chosen)
    assert without.truth is None
    np.testing.assert_array_equal(without.object_id, whole.object_id)


def test_memory_held_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shard(tmp_path / "a.arrow", [movies(5, seed=k) for k in range(8)], {})
    monkeypatch.setattr("skyreel.movie_files.HELD_BYTES", 3 * movies(5).pixels.nbytes)
    store, most = MovieFolder(tmp_path), 0
    for row in range(40):
        store.take([row])
        most = max(most, store.files[0].held_bytes)
    assert 0 < most <= 3 * movies(5).pixels.nbytes


def test_every_flipped_bit_of_the_values_is_noticed(tmp_path: Path) -> None:
    made = replace(movies(8, seed=3), truth=None)
    write_shard(tmp_path / "good.arrow", [made], {})
    data = (tmp_path / "good.arrow").read_bytes()
    place = data.index(made.pixels[0, 0].tobytes())
    for k in range(0, made.pixels[0].nbytes, 97):
        bad = bytearray(data)
        bad[place + k % made.pixels[0, 0].nbytes] ^= 1 << (k % 8)
        (tmp_path / "bad.arrow").write_bytes(bad)
        words = r"bad.arrow: values of movies 0 to 7 that differ from their checksum; the disk or a copy damaged it"
        with pytest.raises(MovieFileError, match=words):
            MovieFile(tmp_path / "bad.arrow").take(np.array([7]))
        with pytest.raises(MovieFileError, match=words):
            MovieFile(tmp_path / "bad.arrow").verify()


def two_shards(folder: Path) -> None:
    write_shard(folder / "a.arrow", [movies(5, seed=1)], {})
    write_shard(folder / "b.arrow", [movies(5, seed=2)], {})
    write_manifest(folder, {"classes": ["asteroid"]})


def rewritten(**content: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "movies.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **content}))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "b.arrow").unlink(), r"b.arrow is missing \(1 of 2 shards\); copy it again"),
        (lambda folder: write_shard(folder / "c.arrow", [movies()], {}), "c.arrow belongs to another set: movies.json does not list it"),
        (lambda folder: write_shard(folder / "b.arrow", [movies(99)], {}), r"b.arrow has \d+ bytes, movies.json says \d+; it is cut short"),
        (lambda folder: (folder / "movies.json").write_text("{"), r"movies.json: a damaged file \(.*\); simulate or copy it again"),
        (rewritten(shards=[1]), r"movies.json: a damaged file \(no list of shards\)"),
        (rewritten(schema_version=7), "movies.json: schema version 7, this skyreel reads 1; use the skyreel that wrote it"),
        (rewritten(state="unfinished", shards={"a.arrow": None, "b.arrow": None, "c.arrow": None}), "unfinished: 2 of 3 shards"),
    ],
)
def test_a_folder_that_does_not_fit_its_manifest(change: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    two_shards(tmp_path)
    MovieFolder(tmp_path).verify()
    change(tmp_path)
    with pytest.raises(MovieFileError, match=words):
        MovieFolder(tmp_path)


def test_shards_of_another_set_are_found_by_their_checksum(tmp_path: Path) -> None:
    """Same names and sizes: what costs no reading cannot tell, `verify` does."""
    for seed in (1, 2):
        write_shard(tmp_path / str(seed) / "a.arrow", [replace(movies(5, 3), object_id=np.array([f"{seed}-{k}" for k in range(5)]))], {})
        write_manifest(tmp_path / str(seed), {})
    (tmp_path / "1" / "a.arrow").write_bytes((tmp_path / "2" / "a.arrow").read_bytes())
    folder = MovieFolder(tmp_path / "1")
    with pytest.raises(
        MovieFileError, match=r"a.arrow is not the file that movies.json describes \(SHA-256 differs\); it is damaged or of"
    ):
        folder.verify()

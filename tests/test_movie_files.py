"""Movies on disk: everything comes back, nothing half-written, clear errors."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from builders import movies

from skyreel.errors import DataError, MovieFileError, OutputError
from skyreel.exposures import DTYPES
from skyreel.movie_files import MovieFile, MovieFolder, write_shard
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
    assert back.take(np.arange(5)).pixels.dtype == dtype
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
    def batches():
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


def test_disk_full_is_an_output_error(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    temporary = tmp_path / ".x.arrow.part"
    temporary.symlink_to(full)
    with pytest.raises(OutputError, match="No space left"):
        write_shard(tmp_path / "x.arrow", [movies(200)], {})
    assert not (tmp_path / "x.arrow").exists()


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

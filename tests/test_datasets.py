from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.datasets import Dataset, dataset_names, load_dataset, locate
from skyreel.datasets.hits2015a import CLASSES, HitsOptions
from skyreel.datasets.hits2015a_cuts import first_detection, sequence_length
from skyreel.datasets.hits2015a_movies import STELLAR_WIDTH
from skyreel.datasets.ragged import Grid
from skyreel.errors import ConfigError, DatasetError
from skyreel.interfaces import PixelBits

EPOCHS = 8
SIZE = 7


# ------------------------------------------------------------------------------------------- a small folder


def conditions() -> Table:
    """One field of eight clear g exposures and one in r; the labels do not follow time."""
    mjd = 57070 + np.array([0.3, 0.1, 1.2, 1.1, 2.4, 3.1, 5.0, 7.5, 7.6])
    columns = {
        "field": np.full(9, 6),
        "epoch": np.arange(1, 10),
        "filter": np.array(["g"] * 8 + ["r"]),
        "mjd": mjd,
        "exptime": np.full(9, 86.0),
        "seeing_arcsec": np.linspace(1.0, 1.8, 9),
        "airmass": np.full(9, 1.2),
        "sky": np.linspace(100, 180, 9),
        "limmag5": np.full(9, 24.0),
        "zero_point": np.full(9, 25.0),
    }
    return Table(columns)


def archive(table: Table, name: str, n: int = 2) -> dict[str, np.ndarray]:
    """`n` objects seen in every g exposure, frames in time order; stamps hold the exposure's sky and one bright pixel."""
    rows = np.tile(np.argsort(np.asarray(table["mjd"][:EPOCHS])), n)
    stamps = np.repeat(np.asarray(table["sky"], np.float32)[rows], SIZE * SIZE).reshape(-1, SIZE, SIZE)
    stamps[:, SIZE // 2, SIZE // 2] += 1000
    columns = {
        "obj_id": np.array([f"{name}_{k}" for k in range(n)]),
        "obj_field": np.full(n, 6),
        "obj_ccdnum": np.array([5, 60] * n)[:n],
        "obj_n": np.full(n, EPOCHS),
        "stamps": stamps,
        "frame_mjd": np.asarray(table["mjd"])[rows],
        "cond_mjd": np.asarray(table["mjd"])[rows],
    }
    columns |= {
        f"cond_{key}": np.asarray(table[key])[rows] for key in ("exptime", "seeing_arcsec", "airmass", "sky", "limmag5", "zero_point")
    }
    if name == "supernova":
        snr = np.tile([np.nan, 0.2, -3.0, 4.9, 5.1, 20.0, 9.0, 2.0], n)
        columns |= {
            "obj_duplicate_of": np.array(["", "supernova_0"] * n)[:n],
            "obj_lc_usable": np.ones(n, bool),
            "obj_bright_subset": np.arange(n) == 0,
            "frame_diff_adu": 80 * snr,
            "frame_diff_adu_err": np.full(len(snr), 80.0),
        }
    return columns


def write(folder: Path, changes: dict[str, dict[str, object]] | None = None, split: str = "dev") -> Path:
    """The layout of the data set, with some entries changed: {class: {column: (index, value)}}."""
    (folder / split).mkdir(parents=True, exist_ok=True)
    table = conditions()
    table.write(folder / "conditions.ecsv", format="ascii.ecsv", overwrite=True)
    for name in CLASSES:
        columns = archive(table, name)
        for column, (index, value) in (changes or {}).get(name, {}).items():
            columns[column] = columns[column].copy()
            columns[column][index] = value
        np.savez(folder / split / f"{name}.npz", **columns)
    return folder


def test_small_folder_is_read_whole_and_in_time_order(tmp_path):
    data = load_dataset("hits2015a", write(tmp_path))
    movies = data.movies
    assert isinstance(data, Dataset)
    assert (len(data), data.name, data.path, data.bands, data.classes) == (8, "hits2015a", tmp_path, ("g",), CLASSES)
    assert movies.pixels.shape == (8, EPOCHS, 1, SIZE, SIZE)
    assert movies.pixels.dtype == np.float32
    assert movies.frame_mask.all()
    assert movies.label.tolist() == [name for name in CLASSES for _ in range(2)]
    assert (np.diff(movies.reported.mjd, axis=1) > 0).all()
    np.testing.assert_array_equal(movies.pixels[:, :, 0, 0, 0], movies.reported.sky)
    seeing, fwhm = STELLAR_WIDTH
    within = (movies.reported.seeing > seeing[0]) & (movies.reported.seeing < seeing[-1])
    np.testing.assert_allclose(movies.reported.psf_fwhm[within], np.interp(movies.reported.seeing[within], seeing, fwhm), rtol=1e-6)
    assert movies.first_detection.tolist() == [4, 4, -1, -1, -1, -1, -1, -1]
    assert not data.left_out


def test_exposure_ids_name_the_row_not_the_place_in_time(tmp_path):
    movies = load_dataset("hits2015a", write(tmp_path)).movies
    assert movies.reported.exposure_id[0].tolist() == [6002, 6001, 6004, 6003, 6005, 6006, 6007, 6008]


def test_chip_constants_are_the_listed_ones_or_their_median(tmp_path):
    reported = load_dataset("hits2015a", write(tmp_path)).movies.reported
    assert reported.ccd[:2, 0].tolist() == [5, 60]
    np.testing.assert_allclose(reported.gain[:2, 0], [4.085, np.median([4.039, 4.085, 3.793, 4.128, 3.870, 4.104])], rtol=1e-6)
    np.testing.assert_allclose(reported.read_noise[:2, 0], [6.209, np.median([6.139, 6.209, 5.936, 6.258, 5.944, 6.119])], rtol=1e-6)
    assert reported.saturation[0, 0] == 45237


def test_frames_are_masked_and_counted_by_reason(tmp_path):
    frame = {"cond_seeing_arcsec": (2, 2.0), "cond_zero_point": ([3, 4], [np.nan, 23.9]), "stamps": (5, 0.0), "cond_sky": (6, np.nan)}
    half_bad = np.full((SIZE, SIZE), 100.0)
    half_bad[:4] = np.nan
    changes = {"rr_lyrae": frame, "non_variable": {"stamps": (0, half_bad), "cond_mjd": (1, np.nan)}}
    data = load_dataset("hits2015a", write(tmp_path, changes), min_frames=2)
    assert data.movies.frame_mask[2].tolist() == [True, True, False, False, False, False, False, True]
    assert data.counts["masked_frames"]["rr_lyrae"] == {
        "seeing": 1,
        "zero point": 2,
        "blank image": 1,
        "conditions not finite or another band": 1,
    }
    assert data.counts["masked_frames"]["non_variable"] == {"bad pixels": 1, "no conditions": 1}
    assert not data.movies.reported.mask[6, 1]
    for column in (data.movies.reported.seeing, data.movies.reported.zero_point, data.movies.reported.mjd):
        assert np.isfinite(column).all()


def test_bad_and_saturated_pixels_are_flagged_apart(tmp_path):
    values = [-9999.0, 0.0, 9.998e7, np.nan, np.inf, 35000.0, 34999.0]
    changes = {"eclipsing_binary": {"stamps": ((0, 0), values)}}
    data = load_dataset("hits2015a", write(tmp_path, changes))
    bad, saturated = PixelBits.BAD, PixelBits.SATURATED
    assert data.movies.pixel_mask[4, 0, 0, 0].tolist() == [bad] * 5 + [saturated, 0]
    assert data.counts["flagged_pixels"] == {"bad": 5, "saturated": 1}
    assert data.movies.frame_mask[4, 0]


def test_objects_are_left_out_by_rule_and_named(tmp_path):
    changes = {
        "supernova": {"obj_lc_usable": (0, False), "frame_diff_adu": (slice(8, 16), 100.0)},
        "rr_lyrae": {"cond_seeing_arcsec": (slice(0, 4), 3.0)},
    }
    data = load_dataset("hits2015a", write(tmp_path, changes))
    assert data.left_out == {
        "supernova_0": "light curve not usable",
        "supernova_1": "no detection",
        "rr_lyrae_0": "too few frames",
    }
    assert data.counts["objects"] == dict.fromkeys(CLASSES, 2)
    assert data.counts["kept"] == {"supernova": 0, "rr_lyrae": 1, "eclipsing_binary": 2, "non_variable": 2}
    assert data.classes == CLASSES[1:]


def test_first_alert_skips_unusable_frames(tmp_path):
    changes = {"supernova": {"cond_seeing_arcsec": (4, 2.5)}}
    movies = load_dataset("hits2015a", write(tmp_path, changes)).movies
    assert movies.first_detection[:2].tolist() == [5, 4]


def test_duplicates_share_a_group_and_can_be_dropped(tmp_path):
    folder = write(tmp_path)
    both = load_dataset("hits2015a", folder)
    assert both.group[:2].tolist() == ["supernova_0", "supernova_0"]
    one = load_dataset("hits2015a", folder, drop_duplicates=True)
    assert one.left_out == {"supernova_1": "duplicate"}
    assert one.counts["left_out"]["supernova"] == {"duplicate": 1}
    assert len(np.unique(one.group)) == len(one) == 7


def test_duplicate_survives_when_its_twin_is_left_out(tmp_path):
    folder = write(tmp_path, {"supernova": {"obj_lc_usable": (0, False)}})
    assert load_dataset("hits2015a", folder, drop_duplicates=True).movies.object_id[0] == "supernova_1"


def test_bright_subset(tmp_path):
    data = load_dataset("hits2015a", write(tmp_path), bright_only=True)
    assert data.left_out == {"supernova_1": "not in the bright subset"}


def test_columns_of_the_kept_objects(tmp_path):
    """What is not in a file is NaN; supernovae have no mean magnitude, stars no peak."""
    folder = write(tmp_path, {"supernova": {"frame_diff_adu": (slice(8, 16), 100.0)}})
    assert load_dataset("hits2015a", folder).left_out == {"supernova_1": "no detection"}
    star = archive(conditions(), "rr_lyrae")
    mags = np.repeat([15.0, 18.0], EPOCHS)
    mags[3], mags[EPOCHS:] = 6.0, np.nan
    star |= {"frame_mag": mags, "obj_mean_mag": np.array([13.9, 18.5]), "obj_x": np.array([3.0, 4.0]), "obj_y": np.array([5.0, 6.0])}
    np.savez(folder / "dev" / "rr_lyrae.npz", **star)
    columns = load_dataset("hits2015a", folder).columns
    nan = np.nan
    np.testing.assert_array_equal(columns["bright"], [True] * 7)
    np.testing.assert_array_equal(columns["peak_snr"], [20.0] + [nan] * 6)
    # a point 9 mag off is no measurement, and a star without a light curve has the listed mean
    np.testing.assert_array_equal(columns["mean_mag"], [nan, 15.0, 18.5] + [nan] * 4)
    np.testing.assert_array_equal(columns["ccd_x"], [nan, 3.0, 4.0] + [nan] * 4)
    np.testing.assert_array_equal(columns["ccd_y"], [nan, 5.0, 6.0] + [nan] * 4)
    assert all(len(column) == 7 for column in columns.values())


def test_frames_out_of_order_are_sorted(tmp_path):
    table = conditions()
    folder = write(tmp_path)
    columns = archive(table, "rr_lyrae")
    shuffle = np.concatenate([np.random.default_rng(3).permutation(EPOCHS), EPOCHS + np.arange(EPOCHS)])
    np.savez(folder / "dev" / "rr_lyrae.npz", **{k: v[shuffle] if len(v) == 2 * EPOCHS else v for k, v in columns.items()})
    movies = load_dataset("hits2015a", folder).movies
    np.testing.assert_array_equal(movies.pixels[2], movies.pixels[3])
    assert (np.diff(movies.reported.mjd[2]) > 0).all()


def test_other_split_and_unknown_split(tmp_path):
    folder = write(tmp_path, split="holdout")
    assert len(load_dataset("hits2015a", folder, split="holdout")) == 8
    with pytest.raises(DatasetError, match=r"split 'dev'.*holdout"):
        load_dataset("hits2015a", folder)


# --------------------------------------------------------------------------------------------------- errors


def test_unknown_name_tells_the_known_ones():
    with pytest.raises(DatasetError, match="'hits2015'.*hits2015a.*did you mean 'hits2015a'"):
        load_dataset("hits2015")
    assert dataset_names() == ("hits2015a", "hits2015a_raw")


def test_missing_folder_tells_where_it_looked(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="nowhere"):
        load_dataset("hits2015a", tmp_path / "nowhere")
    monkeypatch.setenv("SKYREEL_TEST_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("skyreel.datasets.dataset.__file__", str(tmp_path / "a" / "b" / "c" / "d" / "dataset.py"))
    with pytest.raises(DatasetError) as caught:
        locate("hits2015a")
    assert str(tmp_path / "data" / "hits2015a") in str(caught.value)
    assert str(tmp_path.parent / "shared" / "data" / "hits2015a") in str(caught.value)
    assert "SKYREEL_TEST_DATA" in caught.value.remedy


def test_environment_variable_names_the_folder_above(tmp_path, monkeypatch):
    write(tmp_path / "hits2015a")
    monkeypatch.setenv("SKYREEL_TEST_DATA", str(tmp_path))
    assert load_dataset("hits2015a").path == tmp_path / "hits2015a"


@pytest.mark.parametrize("name", ["conditions.ecsv", *(f"dev/{name}.npz" for name in CLASSES)])
def test_missing_file_is_named(tmp_path, name):
    (write(tmp_path) / name).unlink()
    with pytest.raises(DatasetError, match=f"{Path(name).name}: there is no such file"):
        load_dataset("hits2015a", tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("name", ["conditions.ecsv", "dev/rr_lyrae.npz"])
def test_truncated_file_is_named(tmp_path, name, share):
    file = write(tmp_path) / name
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match=Path(name).name):
        load_dataset("hits2015a", tmp_path)


def test_table_without_an_exposure_that_frames_refer_to(tmp_path):
    folder = write(tmp_path)
    conditions()[:5].write(folder / "conditions.ecsv", format="ascii.ecsv", overwrite=True)
    with pytest.raises(DatasetError, match="24 frames have conditions of exposures that the table does not list"):
        load_dataset("hits2015a", folder)


def test_pickled_and_incomplete_archives_are_refused(tmp_path):
    folder = write(tmp_path)
    columns = archive(conditions(), "rr_lyrae")
    np.savez(folder / "dev" / "rr_lyrae.npz", **{k: v for k, v in columns.items() if k != "cond_sky"})
    with pytest.raises(DatasetError, match=r"rr_lyrae\.npz: column cond_sky is missing"):
        load_dataset("hits2015a", folder)
    np.savez(folder / "dev" / "rr_lyrae.npz", **columns | {"obj_id": np.array(["a", {}], object)})
    with pytest.raises(DatasetError, match=r"rr_lyrae\.npz: not a readable archive.*allow_pickle"):
        load_dataset("hits2015a", folder)
    np.savez(folder / "dev" / "rr_lyrae.npz", **columns | {"obj_n": np.array([8, 7])})
    with pytest.raises(DatasetError, match="adds up to 15 frames, stamps has 16"):
        load_dataset("hits2015a", folder)
    np.savez(folder / "dev" / "rr_lyrae.npz", **columns | {"stamps": columns["stamps"][:, :3]})
    with pytest.raises(DatasetError, match=r"rr_lyrae\.npz: stamps of shape \(16, 3, 7\)"):
        load_dataset("hits2015a", folder)


def test_no_usable_object_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="no usable object"):
        load_dataset("hits2015a", write(tmp_path), max_seeing=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_seing": 2.0}, "max_seing.*did you mean 'max_seeing'"),
        ({"max_seeing": "wide"}, "max_seeing"),
        ({"max_seeing": 0.0}, "positive"),
        ({"before_alert": -1}, "before_alert"),
        ({"max_bad_fraction": 1.5}, "max_bad_fraction"),
    ],
)
def test_options_are_checked(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        load_dataset("hits2015a", write(tmp_path), **options)


def test_config_file_lists_every_option_at_its_default():
    yaml = pytest.importorskip("yaml")
    file = Path(__file__).parents[1] / "conf" / "dataset" / "hits2015a.yaml"
    config = yaml.safe_load(file.read_text())
    defaults = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(HitsOptions()).items()}
    assert config == {"name": "hits2015a", "path": None, **defaults}


# ------------------------------------------------------------------------------------------------ properties


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_first_alert_and_sequence_length(data):
    usable = np.array(data.draw(st.lists(st.booleans(), min_size=1, max_size=12)))[None]
    snr = np.array(data.draw(st.lists(st.floats(-10, 30), min_size=usable.size, max_size=usable.size)))[None]
    first = first_detection(usable, snr, np.array([True]), 5.0)
    hits = [k for k in range(usable.size) if usable[0, k] and snr[0, k] > 5.0]
    assert first[0] == (hits[0] if hits else -1)
    frames = np.flatnonzero(usable[0]).tolist()
    start = max(frames.index(first[0]) - 5, 0) if hits else 0
    assert sequence_length(usable, first, 5)[0] == len(frames[start:])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_grid_places_every_frame_once_in_time(lengths, random):
    length = np.array(lengths)
    mjd = np.array([random.uniform(0, 30) for _ in range(length.sum())])
    grid = Grid.in_time(length, mjd)
    placed = grid.spread(mjd, np.inf)
    assert placed.shape == (len(length), length.max())
    ends = np.cumsum(length)
    for row, (end, size) in enumerate(zip(ends, length, strict=True)):
        np.testing.assert_array_equal(placed[row, :size], np.sort(mjd[end - size : end]))
        assert np.isinf(placed[row, size:]).all()

"""The public repository's own files: every known trap, damaged input, and agreement with the clean copy."""

from pathlib import Path

import numpy as np
import pytest
from hits_repository import DATES, LABELS, OTHER_CONDITION, SIZE, SKY, Repository

from skyreel.datasets import Dataset, load_dataset
from skyreel.datasets.hits2015a import CLASSES, HitsOptions
from skyreel.datasets.hits2015a_files import CCD, read_conditions
from skyreel.errors import DatasetError
from skyreel.exposures import DTYPES
from skyreel.interfaces import PixelBits

RISING = [0, 0, 0, 500, 600, 700, 300, 100]


@pytest.fixture
def repository(tmp_path) -> Repository:
    return Repository(tmp_path)


def load(repository: Repository, **options) -> Dataset:
    return load_dataset("hits2015a_raw", repository.done(), **options)


def of(data: Dataset, label: str) -> np.ndarray:
    return np.flatnonzero(data.movies.label == label)


def test_folder_is_read_whole_and_in_time_order(repository):
    data = load(repository)
    movies = data.movies
    assert (data.name, data.bands, data.classes) == ("hits2015a_raw", ("g",), CLASSES)
    assert movies.label.tolist() == list(CLASSES)
    assert movies.object_id.tolist() == ["SNHiTS15Z", *[f"Blind15A_05_S29_0001_000{k}" for k in range(3)]]
    assert (movies.pixels.shape, movies.pixels.dtype) == ((4, 8, 1, SIZE, SIZE), np.float32)
    assert movies.frame_mask.all()
    np.testing.assert_array_equal(movies.reported.mjd, np.tile(DATES, (4, 1)))
    np.testing.assert_array_equal(movies.reported.sky, np.tile(SKY, (4, 1)))
    np.testing.assert_array_equal(movies.pixels[:, :, 0, 0, 0], movies.reported.sky)
    np.testing.assert_array_equal(movies.reported.exposure_id[1], 5000 + np.array(LABELS))
    assert movies.first_detection.tolist() == [3, -1, -1, -1]
    assert (movies.reported.ccd[:, 0].tolist(), movies.reported.field[:, 0].tolist()) == ([35, 1, 1, 1], [5] * 4)
    # the list of supernovae counts from 1, row before column
    assert (data.columns["ccd_x"].tolist(), data.columns["ccd_y"].tolist()) == ([599, 1, 1, 1], [499, 0, 1, 2])


def test_folder_inside_the_repository_does_too(repository):
    repository.done()
    assert len(load_dataset("hits2015a_raw", repository.root)) == 4


# ------------------------------------------------------------------------------------------------ dates, not labels


@pytest.mark.parametrize("kind", ["RRLyrae", "EB", "real_constants"])
def test_wrong_epoch_labels_change_nothing(repository, kind):
    repository.star(kind, "05_S29_1_2")
    repository.star(kind, "05_S29_1_3", labels=LABELS[::-1])
    data = load(repository)
    pair = of(data, {"RRLyrae": "rr_lyrae", "EB": "eclipsing_binary", "real_constants": "non_variable"}[kind])
    for name in DTYPES:
        column = getattr(data.movies.reported, name)[pair]
        np.testing.assert_array_equal(column[0], column[1], err_msg=name)
    np.testing.assert_array_equal(data.movies.reported.sky[pair[1]], SKY)


def test_rounded_dates_find_their_exposure_of_the_same_filter(repository):
    """Single precision moves dates by up to 169 s; the r exposure 100 s after the third g one is not taken."""
    rounded = DATES.astype(np.float32).astype(float)
    assert np.abs(rounded - DATES).max() * 86400 > 60
    repository.star("real_constants", mjd=DATES + np.array([0, 0, 100, 0, 0, 0, 0, 0]) / 86400)
    reported = load(repository).movies.reported
    np.testing.assert_array_equal(reported.mjd[-1], DATES)
    np.testing.assert_array_equal(reported.sky[-1], SKY)


def test_exact_dates_come_from_the_light_curve_in_any_order(repository):
    order = np.random.default_rng(0).permutation(8)
    repository.star("RRLyrae", curve=np.stack([DATES, 15 + SKY / 100], axis=1)[order])
    extra = np.stack([np.append(DATES, DATES[-1] + 1), np.append(15 + SKY / 100, 17)], axis=1)
    repository.star("EB", curve=extra)
    data = load(repository)
    assert data.movies.frame_mask.all()
    np.testing.assert_array_equal(data.movies.reported.mjd, np.tile(DATES, (4, 1)))
    np.testing.assert_allclose(data.columns["mean_mag"][1:3], (15 + SKY / 100).mean(), rtol=1e-6)


@pytest.mark.parametrize(("precision", "seconds", "found"), [("f8", 25, True), ("f8", 35, False), ("f4", 500, True), ("f4", 860, False)])
def test_tolerance_follows_the_precision_of_the_date(repository, precision, seconds, found):
    late = DATES + np.array([0, 0, 0, 0, 0, 0, 0, seconds]) / 86400
    repository.star("real_constants", mjd=late, precision=precision)
    data = load(repository)
    assert data.movies.frame_mask[-1].tolist() == [True] * 7 + [found]
    assert data.counts["masked_frames"]["non_variable"] == ({} if found else {"no conditions": 1})


def test_date_that_fits_two_exposures_has_none_unless_it_is_exact(repository):
    """As in field 1, where exposures follow each other in 131 s."""
    repository.condition(5, 10, DATES[4] + 131 / 86400, 555.0)
    repository.star("real_constants")
    repository.star("RRLyrae", curve=np.full(8, 16.0))
    both = np.insert(DATES, 5, DATES[4] + 131 / 86400)
    repository.star("EB", mjd=both, labels=range(9), stamps=np.full((9, SIZE, SIZE), 200.0) + np.eye(SIZE), curve=np.full(9, 16.0))
    data = load(repository)
    sky = data.movies.reported.sky
    assert data.movies.frame_mask[-1].tolist() == [True] * 4 + [False] + [True] * 3 + [False]
    assert sky[1, :8].tolist() == SKY.tolist()
    assert sky[2].tolist() == np.insert(SKY, 5, 555.0).tolist()
    assert data.counts["masked_frames"]["non_variable"] == {"no conditions": 1}


def test_exposure_belongs_to_one_frame(repository):
    twice = np.sort(np.append(DATES, DATES[3] + 5 / 86400))
    repository.star("real_constants", mjd=twice, precision="f8", labels=range(9), stamps=np.full((9, SIZE, SIZE), 200.0) + np.eye(SIZE))
    data = load(repository)
    assert data.movies.frame_mask[-1].tolist() == [True] * 4 + [False] + [True] * 4
    assert data.counts["masked_frames"]["non_variable"] == {"no conditions": 1}


# ----------------------------------------------------------------------------------------------------- conditions


def test_condition_file_without_zero_point_masks_its_frames(repository):
    repository.condition(5, LABELS[1], DATES[1], 110.0, dtype=OTHER_CONDITION)
    data = load(repository)
    assert (~data.movies.frame_mask).sum(axis=0).tolist() == [0, 4, 0, 0, 0, 0, 0, 0]
    assert data.counts["masked_frames"] == {name: {"zero point": 1} for name in CLASSES}
    assert not data.movies.reported.mask[:, 1].any()


def test_objects_of_a_field_without_conditions_are_left_out(repository):
    repository.star("RRLyrae", "03_N4_12_345")
    repository.star("RRLyrae", "05_N4_12_345")
    repository.supernova("SNHiTS15ap", field=3, flux=RISING, dates=DATES + 200)
    repository.supernova("SNHiTS15aq", field=3, i=900, flux=RISING)
    repository.supernova("SNHiTS15ar", flux=RISING)
    data = load(repository)
    assert data.left_out == {
        "SNHiTS15ap": "light curve not usable",
        "SNHiTS15aq": "no detection",
        "Blind15A_03_N4_0012_0345": "too few frames",
    }
    assert data.counts["masked_frames"]["rr_lyrae"] == {"no conditions": 8}
    assert data.counts["masked_frames"]["supernova"] == {"no conditions": 16}
    assert data.counts["left_out"]["supernova"] == {"light curve not usable": 1, "no detection": 1}


# ------------------------------------------------------------------------------------------------------ supernovae


def test_light_curves_of_another_field_or_none(repository):
    repository.supernova("SNHiTS15A", flux=RISING)
    repository.supernova("SNHiTS15B", i=100, flux=RISING, dates=DATES + 0.02)
    repository.supernova("SNHiTS15C", i=200)
    repository.supernova("SNHiTS15D", i=300, flux=RISING, dates=np.append(DATES[:5], DATES[5:] + 0.02))
    repository.supernova("SNHiTS15E", i=400, flux=RISING, dates=np.append(DATES[:4], DATES[4:] + 0.02))
    repository.supernova("SNHiTS15F", i=700, flux=[], dates=[])
    data = load(repository)
    assert data.movies.object_id[of(data, "supernova")].tolist() == ["SNHiTS15A", "SNHiTS15D"]
    assert data.left_out == dict.fromkeys(["SNHiTS15B", "SNHiTS15C", "SNHiTS15E", "SNHiTS15F"], "light curve not usable")
    # points of no frame are dropped, the others count
    np.testing.assert_allclose(data.columns["peak_snr"][:2], [700 / 80, 600 / 80], rtol=1e-6)


def test_points_in_other_filters_are_no_detections(repository):
    flux = [0, 9000, 0, 0, 0, 900, 300, 100]
    repository.supernova("SNHiTS15A", flux=flux, band=["g", "r"] + ["g"] * 6)
    data = load(repository)
    assert data.movies.first_detection[0] == 5
    assert not data.columns["bright"][0]


def test_bright_subset_is_brighter_than_1500_adu(repository):
    for k, largest in enumerate((1499.0, 1501.0)):
        repository.supernova(f"SNHiTS15{'AB'[k]}", i=100 * k + 1, flux=[0, 0, 0, 500, largest, 300, 200, 100])
    data = load(repository)
    assert data.columns["bright"].tolist() == [False, True, True, True, True]
    assert load_dataset("hits2015a_raw", repository.folder, bright_only=True).left_out == {"SNHiTS15A": "not in the bright subset"}


def test_one_supernova_under_two_names(repository):
    repository.supernova("SNHiTS15ba", i=3133, j=1553, flux=RISING)
    repository.supernova("SNHiTS15bz", i=3133, j=1560, flux=RISING)
    repository.supernova("SNHiTS15ca", i=3133, j=1553, chip="N5", flux=RISING)
    repository.supernova("SNHiTS15ci", i=3134, j=1554, flux=RISING)
    data = load(repository)
    assert data.group[:4].tolist() == ["SNHiTS15ba", "SNHiTS15bz", "SNHiTS15ca", "SNHiTS15ba"]
    assert data.group[4:].tolist() == data.movies.object_id[4:].tolist()
    one = load_dataset("hits2015a_raw", repository.folder, drop_duplicates=True)
    assert one.left_out == {"SNHiTS15ci": "duplicate"}


# ---------------------------------------------------------------------------------------------------------- pixels


def test_blank_frames_and_bad_pixels(repository):
    stamps = repository.pixels()
    stamps[0] = 0
    stamps[1] = 250.0
    stamps[2, 0, :3] = [9.998e7, -9999, 35000]
    stamps[3, :3] = -9999
    repository.star("EB", stamps=stamps, curve=np.full(8, 16.0))
    data = load(repository, min_frames=4)
    assert data.movies.frame_mask[2].tolist() == [False, False, True, False, True, True, True, True]
    assert data.counts["masked_frames"]["eclipsing_binary"] == {"blank image": 2, "bad pixels": 1}
    assert data.movies.pixel_mask[2, 2, 0, 0, :4].tolist() == [PixelBits.BAD, PixelBits.BAD, PixelBits.SATURATED, 0]
    assert data.counts["flagged_pixels"] == {"bad": SIZE * SIZE + 2 + 3 * SIZE, "saturated": 1}


# ------------------------------------------------------------------------------------------------------ magnitudes


def test_mean_magnitudes_are_those_of_light_curve_or_list_without_the_glitch(repository):
    mags = np.array([15.4, 15.5, 15.3, 17.9, 15.4, 15.6, 15.5, 15.3])
    repository.star("EB", curve=np.append(mags[:-1], 8.4))
    repository.star("RRLyrae")
    repository.star("real_constants", "05_N4_12_345")
    repository.star("real_constants", "05_N4_12_346")
    repository.constants = ["Blind15A_05_N4_0012_0345,18.25,0.0069", "Blind15A_11_S3_0473_1017,19.6,0.0098"]
    mean = load(repository).columns["mean_mag"]
    np.testing.assert_allclose(mean, [np.nan, np.nan, mags[:-1].mean(), 18.25, np.nan], rtol=1e-6)


# ---------------------------------------------------------------------------------------------------------- splits


def test_splits_are_sky_fields(tmp_path):
    repository = Repository(tmp_path, fields=(4, 5))
    repository.star("real_constants", "04_N4_1_2")
    repository.star("real_constants", "05_N4_1_2")
    for field, name in ((4, "SNHiTS15A"), (5, "SNHiTS15B")):
        repository.supernova(name, field=field, flux=RISING)
    ids = {split: load(repository, split=split).movies.object_id.tolist() for split in ("dev", "holdout", "all")}
    assert ids["holdout"] == ["SNHiTS15A", "Blind15A_04_N4_0001_0002"]
    assert set(ids["dev"]) == set(ids["all"]) - set(ids["holdout"])
    assert len(ids["all"]) == len(ids["dev"]) + 2 == 6
    with pytest.raises(DatasetError, match=r"'hits2015a_raw', split 'test': it has dev, holdout and all"):
        load_dataset("hits2015a_raw", tmp_path, split="test")


def test_split_without_stamps(repository):
    with pytest.raises(DatasetError, match="no stamps of the split 'holdout'; choose split=all"):
        load(repository, split="holdout")


def test_config_file_lists_every_option_at_its_default():
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load((Path(__file__).parents[1] / "conf" / "dataset" / "hits2015a_raw.yaml").read_text())
    defaults = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(HitsOptions()).items()}
    assert config == {"name": "hits2015a_raw", "path": None, **defaults}


# ---------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("Blind15A_info", r"Blind15A_info: no file Blind15A_\*\.npy; hand in the folder of github"),
        ("real_stamps/EB", r"EB: no file \*_stamp\.npy"),
        ("real_stamps/SNstamps/npy", r"npy: no file \*_stamps\.npy"),
    ],
)
def test_missing_folder_is_named(repository, place, message):
    repository.done()
    for file in (repository.root / place).glob("*.npy"):
        file.unlink()
    with pytest.raises(DatasetError, match=message):
        load_dataset("hits2015a_raw", repository.folder)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.98])
@pytest.mark.parametrize(
    "name",
    [
        "Blind15A_info/Blind15A_05_04_g.npy",
        "real_stamps/EB/Blind15A_05_S29_1_1_g_stamp.npy",
        "real_stamps/SNstamps/npy/SNHiTS15Z_stamps.npy",
        "real_stamps/SNstamps/npy/SNHiTS15Z_MJDs.npy",
    ],
)
def test_truncated_file_is_named(repository, name, share):
    repository.done()
    file = repository.root / name
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match=f"{file.name}: not a readable"):
        load_dataset("hits2015a_raw", repository.folder)


def test_pickle_that_names_something_else_is_refused(repository):
    repository.done()
    file = repository.stamps / "RRLyrae" / "Blind15A_05_S29_1_0_g_stamp.npy"
    content = file.read_bytes()
    head = content[: content.index(b"\n") + 1]
    made = repository.folder / "made"
    path = str(made).encode()
    file.write_bytes(head + b"\x80\x03cos\nmkdir\nX" + len(path).to_bytes(4, "little") + path + b"\x85R.")
    with pytest.raises(DatasetError, match=r"Blind15A_05_S29_1_0_g_stamp\.npy: its pickle names os\.mkdir"):
        load_dataset("hits2015a_raw", repository.folder)
    assert not made.exists()


def test_files_that_do_not_fit_are_named(repository):
    repository.done()
    npy, listed = repository.stamps / "SNstamps" / "npy", repository.stamps / "SNstamps" / "SNHiTS.txt"

    def refused(message: str) -> None:
        with pytest.raises(DatasetError, match=message):
            load_dataset("hits2015a_raw", repository.folder)

    dates = np.load(npy / "SNHiTS15Z_MJDs.npy")
    np.save(npy / "SNHiTS15Z_MJDs.npy", dates[:-1])
    refused(r"SNHiTS15Z_stamps\.npy: stamps float32 of shape \(8, 7, 7\) with dates of shape \(7,\)")
    np.save(npy / "SNHiTS15Z_MJDs.npy", np.where(np.arange(8) == 3, b"unknown", dates))
    refused(r"SNHiTS15Z_stamps\.npy: a date is not a number")
    np.save(npy / "SNHiTS15Z_MJDs.npy", np.where(np.arange(8) == 3, b"nan", dates))
    refused(r"SNHiTS15Z_stamps\.npy: a date is not finite")
    (npy / "SNHiTS15Z_MJDs.npy").unlink()
    refused(r"SNHiTS15Z_MJDs\.npy: not a readable array")
    np.save(npy / "SNHiTS15Z_MJDs.npy", dates)
    curve = repository.stamps / "SNstamps" / "LC" / "SNHiTS15Z.dat"
    text = curve.read_text()
    curve.write_text(text[:-20])
    refused(r"SNHiTS15Z\.dat: a row does not have the 11 values of the header")
    curve.write_text(text.replace(" e_ADU ", " sigma "))
    refused(r"SNHiTS15Z\.dat: it has no column e_ADU")
    curve.write_text(text.replace(" 86.0 ", " long "))
    refused(r"SNHiTS15Z\.dat: a value is not a number")
    curve.write_bytes(b"\xff\xfe\x00")
    refused(r"SNHiTS15Z\.dat: not readable")
    curve.write_text("")
    refused(r"SNHiTS15Z\.dat: it has no line of column names with MJD")
    curve.write_text(text)
    listed.write_text("\n".join(repository.listed[:2]))
    refused(r"SNHiTS\.txt: it does not list SNHiTS15Z, of which there are stamps")
    listed.write_text("\n".join(repository.listed).replace("N4", "N99"))
    refused(r"SNHiTS\.txt: DECam has no chip 'N99'")
    listed.write_text("\n".join([*repository.listed, "SNHiTS15Y 05 N4"]))
    refused(r"SNHiTS\.txt: not a list of name, field, CCD, i, j")
    listed.unlink()
    refused(r"SNHiTS\.txt: not a list.*FileNotFoundError")


def test_stars_that_do_not_fit_are_named(repository):
    small = repository.star("EB", stamps=np.full((8, SIZE - 2, SIZE - 2), 200.0))
    with pytest.raises(DatasetError, match=r"object Blind15A_05_N4_0012_0345: stamps of \(5, 5\) pixels, those of SNHiTS15Z have \(7, 7\)"):
        load(repository)
    small.unlink()
    other = repository.star("EB", "05_X3_1_2")
    with pytest.raises(DatasetError, match=r"05_X3_1_2_g_stamp\.npy: its name is not Blind15A_FIELD_CCD_X_Y_BAND_stamp\.npy"):
        load(repository)
    np.save(other.with_name("Blind15A_05_N4_1_2_g_stamp.npy"), {"stamp": np.zeros((8, SIZE, SIZE))}, allow_pickle=True)
    other.unlink()
    with pytest.raises(DatasetError, match=r"05_N4_1_2_g_stamp\.npy: it holds stamp; stamp and time with MJD are needed"):
        load(repository)


def test_conditions_that_do_not_fit_are_named(repository):
    repository.done()
    file = repository.condition(5, 11, np.nan, 100.0)
    with pytest.raises(DatasetError, match=r"Blind15A_05_11_g\.npy: MJD is nan"):
        load_dataset("hits2015a_raw", repository.folder)
    np.save(file, np.zeros(3))
    with pytest.raises(DatasetError, match=r"Blind15A_05_11_g\.npy: 3 records with the columns none; one with MJD is needed"):
        load_dataset("hits2015a_raw", repository.folder)
    file.rename(file.with_name("Blind15A_05_eleven_g.npy"))
    with pytest.raises(DatasetError, match=r"eleven_g\.npy: its name is not Blind15A_FIELD_EPOCH_BAND\.npy"):
        load_dataset("hits2015a_raw", repository.folder)


# -------------------------------------------------------------------------------------------------------- real data


@pytest.fixture(scope="module")
def folders(data_dir) -> tuple[Path, Path]:
    return data_dir / "hits2015a", data_dir / "hits2015a_raw"


@pytest.fixture(scope="module")
def both(folders) -> tuple[Dataset, Dataset]:
    """The clean copy's objects that are in the repository's sample too, and the sample, in one order."""
    clean, raw = (load_dataset(path.name, path) for path in folders)
    place = {(label, name): k for k, (label, name) in enumerate(zip(clean.movies.label, clean.movies.object_id, strict=True))}
    rows = np.array([place[key] for key in zip(raw.movies.label, raw.movies.object_id, strict=True)])
    columns = {name: column[rows] for name, column in clean.columns.items()}
    return Dataset(clean.movies.take(rows), clean.group[rows], {}, {}, clean.name, clean.path, columns), raw


@pytest.mark.real_data
def test_real_sample_gives_the_movies_of_the_clean_copy(both):
    """Exactly: pixels, masks, dates, conditions, labels, alerts. The clean copy is wider by frames that only others have."""
    clean, raw = both
    assert raw.counts["objects"] == {"supernova": 7, "rr_lyrae": 7, "eclipsing_binary": 6, "non_variable": 12}
    assert raw.counts["kept"] == raw.counts["objects"]
    assert set(raw.movies.reported.field[:, 0].tolist()) == {5, 6, 7, 10}
    epochs = raw.movies.frame_mask.shape[1]
    assert not clean.movies.frame_mask[:, epochs:].any()
    for name in ("pixels", "pixel_mask", "frame_mask"):
        np.testing.assert_array_equal(getattr(raw.movies, name), getattr(clean.movies, name)[:, :epochs], err_msg=name)
    for name in DTYPES:
        np.testing.assert_array_equal(getattr(raw.movies.reported, name), getattr(clean.movies.reported, name)[:, :epochs], err_msg=name)
    np.testing.assert_array_equal(raw.movies.first_detection, clean.movies.first_detection)
    np.testing.assert_array_equal(raw.group, clean.group)
    assert raw.columns.keys() == clean.columns.keys() == {"bright", "peak_snr", "mean_mag", "ccd_x", "ccd_y"}
    for name, column in raw.columns.items():
        np.testing.assert_array_equal(column, clean.columns[name], err_msg=name)


@pytest.mark.real_data
@pytest.mark.parametrize("options", [{"max_seeing": 1.3, "min_frames": 12}, {"bright_only": True, "detection_sigma": 25.0}])
def test_real_fates_agree_with_the_clean_copy_under_any_option(folders, options):
    clean, raw = (load_dataset(path.name, path, **options) for path in folders)
    names = {*raw.movies.object_id.tolist(), *raw.left_out}
    assert raw.left_out == {name: why for name, why in clean.left_out.items() if name in names}
    assert len(raw.left_out) > 0
    assert set(raw.movies.object_id.tolist()) == names & set(clean.movies.object_id.tolist())


@pytest.mark.real_data
def test_real_conditions_are_the_rows_of_the_clean_table(folders):
    from astropy.table import Table

    clean, raw = folders
    table = Table.read(clean / "conditions.ecsv", format="ascii.ecsv")
    ours = read_conditions(sorted((raw / "real_obs" / "Blind15A_info").glob("*.npy")))
    rows = {(int(row["field"]), int(row["epoch"])): row for row in table}
    names = {"mjd": "mjd", "filter": "filter", "cond_exptime": "exptime", "cond_seeing_arcsec": "seeing_arcsec", "cond_airmass": "airmass"}
    names |= {"cond_sky": "sky", "cond_zero_point": "zero_point", "cond_limmag5": "limmag5"}
    assert len(ours["mjd"]) == 189
    for name, column in names.items():
        expected = [rows[key][column] for key in zip(ours["field"].tolist(), ours["epoch"].tolist(), strict=True)]
        assert ours[name].tolist() == expected, name


@pytest.mark.real_data
def test_real_chip_numbers_are_those_of_the_clean_copy(folders):
    seen = set()
    for name in CLASSES:
        with np.load(folders[0] / "dev" / f"{name}.npz") as packed:
            seen |= set(zip(packed["obj_ccd"].tolist(), packed["obj_ccdnum"].tolist(), strict=True))
    assert len(seen) > 55
    assert all(CCD[chip] == number for chip, number in seen)
    assert sorted(CCD.values()) == list(range(1, 63))


@pytest.mark.real_data
def test_real_bright_subset_is_reproduced_by_the_rule(folders):
    """Largest difference flux above 1500 ADU: 25 of the 54 development supernovae, none else."""
    with np.load(folders[0] / "dev" / "supernova.npz") as packed:
        flux = np.where(np.isfinite(packed["frame_diff_adu"]), packed["frame_diff_adu"], -np.inf)
        largest = np.maximum.reduceat(flux, packed["obj_start"])
        flag = packed["obj_bright_subset"]
    np.testing.assert_array_equal(largest > 1500, flag)
    assert (flag.sum(), len(flag)) == (25, 54)

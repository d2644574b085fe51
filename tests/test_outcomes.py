"""The table behind every score: what it refuses, and that a file gives back what went in."""

import json
from dataclasses import fields, replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import DataError, OutputError
from skyreel.evaluate.outcomes import Key, Outcomes, join_outcomes, read_outcomes, write_outcomes

CLASSES = ("supernova", "rr_lyrae", "galaxy")


def made(seed: int = 0, n: int = 7, longest: int = 5, classes: tuple[str, ...] = CLASSES) -> Outcomes:
    """Random outcomes; the first object has the most images, the second just one."""
    rng = np.random.default_rng(seed)
    number = rng.integers(1, longest + 1, n)
    number[0] = longest
    exists = np.arange(longest) < number[:, None]
    probabilities = rng.dirichlet(np.ones(len(classes)), (n, longest)).astype(np.float32)
    mag = rng.uniform(15, 23, n)
    mag[-1] = np.nan
    return Outcomes(
        classes,
        np.where(exists[..., None], probabilities, np.float32(np.nan)),
        np.where(exists, 57070 + np.cumsum(rng.random((n, longest)), axis=1), np.nan),
        number,
        np.array([f"object-{seed}-{k}" for k in range(n)]),
        np.array([f"group-{k // 2}" for k in range(n)]),
        rng.choice(classes, n),
        rng.integers(0, 50, n).astype(np.int32),
        rng.integers(0, longest, n).astype(np.int32),
        mag,
        rng.uniform(0, 100, n),
        rng.random(n) < 0.5,
        rng.random(n) < 0.5,
    )


def same(a: Outcomes, b: Outcomes) -> None:
    assert a.classes == b.classes
    for item in fields(Outcomes):
        if item.name != "classes":
            first, second = getattr(a, item.name), getattr(b, item.name)
            assert first.dtype.kind == second.dtype.kind, item.name
            np.testing.assert_array_equal(first, second, err_msg=item.name)


def test_answers_after_k_images_are_those_of_the_last_one_where_there_are_fewer():
    some = made()
    some = replace(some, n_images=np.array([5, 2, 1, 5, 3, 4, 5]), probabilities=np.arange(105, dtype=np.float32).reshape(7, 5, 3))
    np.testing.assert_array_equal(some.after(3)[:4, 0], [6, 18, 30, 51])
    np.testing.assert_array_equal(some.last()[:4, 0], [12, 18, 30, 57])
    with pytest.raises(DataError, match="after 0 images; numbers of images start at 1"):
        some.after(0)


def test_truth_is_the_place_of_the_label():
    some = replace(made(n=3), label=np.array(["galaxy", "supernova", "galaxy"]))
    assert some.truth.tolist() == [2, 0, 2]
    with pytest.raises(DataError, match="labels '', 'kilonova'; the classifier knows supernova, rr_lyrae, galaxy"):
        _ = replace(some, label=np.array(["galaxy", "kilonova", ""])).truth


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"field": np.zeros(3, np.int32)}, r"outcomes.field: shape \(3,\); mjd \(7, 5\)"),
        ({"probabilities": np.zeros((7, 5, 2), np.float32)}, r"outcomes.probabilities: shape \(7, 5, 2\)"),
        ({"n_images": np.array([0, 1, 1, 1, 1, 1, 1])}, r"outcomes.n_images: 0 to 1; it must lie in 1..5"),
        ({"n_images": np.array([6, 1, 1, 1, 1, 1, 1])}, r"outcomes.n_images: 1 to 6"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        replace(made(), **change)


def test_a_file_gives_back_every_part(tmp_path):
    parts = {
        Key("hits2015a", "paper"): made(0),
        Key("hits2015a", "paper", "length only"): made(0, classes=("galaxy", "asteroid", "supernova")),
        Key("hits2015a", "label_blind", "fine-tuned", 3): made(1, n=1, longest=9),
        Key("hits2015a", "label_blind", "fine-tuned", 4): made(2, n=300, longest=22),
    }
    write_outcomes(tmp_path / "new" / "outcomes.parquet", parts)
    found = read_outcomes(tmp_path / "new" / "outcomes.parquet")
    assert list(found) == list(parts)
    for key, part in parts.items():
        same(found[key], part)
    assert [item.name for item in (tmp_path / "new").iterdir()] == ["outcomes.parquet"]


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), n=st.integers(1, 9), longest=st.integers(1, 6), shift=st.integers(0, 2))
def test_any_part_survives_beside_another(tmp_path_factory, seed, n, longest, shift):
    classes = CLASSES[shift:] + CLASSES[:shift]
    parts = {Key("a", "paper"): made(seed, n, longest), Key("b", "paper", draw=shift): made(seed + 1, n, longest, classes)}
    path = tmp_path_factory.mktemp("o") / "outcomes.parquet"
    write_outcomes(path, parts)
    for key, part in read_outcomes(path).items():
        same(part, parts[key])


def test_rows_are_one_per_object_and_image_and_readable_by_others(tmp_path):
    some = made()
    write_outcomes(tmp_path / "o.parquet", {Key("set", "paper"): some})
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.num_rows == some.n_images.sum()
    rows = table.to_pylist()
    assert [row["image"] for row in rows if row["object_id"] == "object-0-0"] == [1, 2, 3, 4, 5]
    assert rows[0]["p_rr_lyrae"] == pytest.approx(float(some.probabilities[0, 0, 1]))
    assert (rows[0]["data"], rows[0]["protocol"], rows[0]["model"], rows[0]["draw"]) == ("set", "paper", "model", -1)
    assert rows[0]["group"] == "group-0"


def test_damaged_foreign_and_missing_files_are_named(tmp_path):
    path = tmp_path / "o.parquet"
    with pytest.raises(DataError, match="outcomes .*o.parquet: not readable .*FileNotFound.*run `skyreel evaluate` again"):
        read_outcomes(path)
    write_outcomes(path, {Key("set", "paper"): made()})
    table = pq.read_table(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not readable"):
        read_outcomes(path)
    pq.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(DataError, match="not readable"):
        read_outcomes(path)
    pq.write_table(table.drop_columns(["mjd"]), path)
    with pytest.raises(DataError, match="not readable .*mjd"):
        read_outcomes(path)
    metadata = {"skyreel_classes": json.dumps([["another set", "paper", "model", -1, list(CLASSES)]])}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.raises(DataError, match="not readable"):
        read_outcomes(path)


def test_nothing_is_not_written(tmp_path):
    with pytest.raises(DataError, match="no outcomes; score at least one object"):
        write_outcomes(tmp_path / "o.parquet", {})
    with pytest.raises(DataError, match="no objects under Key"):
        write_outcomes(tmp_path / "o.parquet", {Key("set", "paper"): made().take(np.zeros(0, int))})


def test_a_place_that_cannot_be_written_keeps_the_old_file(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="writing .*choose a folder"):
        write_outcomes(tmp_path / "file" / "o.parquet", {Key("set", "paper"): made()})
    assert (tmp_path / "file").read_text() == "no folder"


def test_joined_outcomes_are_those_of_the_parts():
    a, b = made(0, longest=3), made(1, longest=6)
    both = join_outcomes([a, b])
    assert both.mjd.shape == (14, 6)
    same(both.take(np.arange(7, 14)), b)
    np.testing.assert_array_equal(both.last(), np.concatenate([a.last(), b.last()]))
    assert np.isnan(both.probabilities[:7, 3:]).all()
    with pytest.raises(DataError, match="2 different lists of classes"):
        join_outcomes([a, made(classes=("a", "b", "c"))])
    with pytest.raises(DataError, match="0 different lists"):
        join_outcomes([])

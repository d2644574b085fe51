"""The whole chain through the command line: simulate, train, classify, evaluate, go on after Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from sklearn.metrics import accuracy_score, recall_score
from verb_runs import CLASSES, TINY, skyreel, trained

from skyreel.errors import ConfigError
from skyreel.evaluate.metrics import score
from skyreel.evaluate.outcomes import Key, read_outcomes
from skyreel.hydra_glue import compose, config_hash, provenance
from skyreel.interfaces import Classifier
from skyreel.models import load_model
from skyreel.movie_files import MovieFolder, write_shard
from skyreel.sequences import alert_window
from skyreel.simulate.run import simulate_movies

ALONE = ["also=[]", "controls=false"]
"""One protocol, without controls (see test_evaluate_verb.py)."""
SOURCE = f"source=[{','.join(CLASSES)}]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory)


@pytest.fixture(scope="module")
def movies(folder: Path) -> MovieFolder:
    return MovieFolder(folder / "movies")


@pytest.fixture(scope="module")
def model(folder: Path) -> Classifier:
    return load_model(folder / "run")


@pytest.fixture(scope="module")
def parquet(folder: Path) -> dict[str, np.ndarray]:
    done = skyreel("classify", "model=run", "input=movies", "output=new/probabilities.parquet", cwd=folder)
    assert done.code == 0, done.err
    return table(folder / "new" / "probabilities.parquet")


def table(path: Path) -> dict[str, np.ndarray]:
    columns = pq.read_table(path)
    return {name: np.array(columns[name].to_pylist()) for name in columns.column_names}


def metrics_of(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


# --------------------------------------------------------------------------------------------------- simulate


def test_simulate_leaves_a_folder_of_whole_shards(folder: Path, movies: MovieFolder) -> None:
    names = {path.name for path in (folder / "movies").iterdir()}
    assert names == {"movies.json", *(f"movies-{name}-00000.arrow" for name in CLASSES)}
    manifest = json.loads((folder / "movies" / "movies.json").read_text())
    assert (manifest["classes"], manifest["movies"], manifest["n_objects"]) == (list(CLASSES), 60, 12)
    assert manifest["config"]["seed"] == 3
    assert {name: int((movies.label == name).sum()) for name in CLASSES} == dict.fromkeys(CLASSES, 12)
    assert len(set(movies.object_id)) == 60


@pytest.mark.parametrize("order", [1, -1])
def test_a_class_is_added_to_those_that_are_named(order: int) -> None:
    words = ["source=[supernova,asteroid]", "+source=galaxy"][::order]
    assert list(compose("simulate", words).source) == ["supernova", "asteroid", "galaxy"]
    with pytest.raises(ConfigError, match="a sweep and .source; name all classes in every point"):
        compose("simulate", ["source=[supernova],[asteroid]", "+source=galaxy"])


# ------------------------------------------------------------------------------------------------------ train


def test_a_training_runs_folder_tells_what_made_it(folder: Path) -> None:
    run = folder / "run"
    config = OmegaConf.load(run / "config.yaml")
    assert config == compose("train", [SOURCE, *TINY])
    record = json.loads((run / "run.json").read_text())
    assert record["command"][1:] == ["train", SOURCE, *TINY, "hydra.run.dir=run"]
    assert record["config_hash"] == config_hash(config) == metrics_of(run)["config_hash"]
    assert (record["versions"], record["plugins"]) == (provenance()["versions"], provenance()["plugins"])
    assert not list(run.rglob("*.part"))


def test_a_training_is_scored_on_movies_it_has_not_seen(folder: Path) -> None:
    metrics = metrics_of(folder / "run")
    assert metrics["data"] == "simulated test set"
    assert metrics["counts"] == dict.fromkeys(CLASSES, 8)
    assert metrics["training"]["step"] == 40
    assert metrics["training"]["best_step"] in (20, 40)


def test_a_training_is_scored_on_as_many_movies_that_it_has_seen(folder: Path) -> None:
    """Figure 5 of the paper compares the two."""
    metrics, outcomes = metrics_of(folder / "run"), read_outcomes(folder / "run" / "outcomes.parquet")
    test, train = (outcomes.pop(Key(f"simulated {part}", "paper")) for part in ("test", "train"))
    assert not outcomes
    assert len(test) == len(train) == 40
    assert not set(test.object_id) & set(train.object_id)
    assert metrics["mean_recall"] == score(test)["mean_recall"]
    assert metrics["train"]["mean_recall"] == score(train)["mean_recall"]
    rows = np.sort(np.random.default_rng(0).permutation(160)[:40])  # seed 0, 32 movies of each of five classes
    seen = simulate_movies(OmegaConf.load(folder / "run" / "config.yaml"), "train", 32)
    np.testing.assert_array_equal(train.object_id, seen.object_id[rows])


def test_nothing_a_run_leaves_is_a_pickle(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".arrow", ".json", ".yaml", ".safetensors", ".html", ".log", ".parquet", ".npz"}
    assert not [path for path in files if path.read_bytes()[:1] == b"\x80"]  # pickle's first opcode
    for path in folder.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays)


def test_train_reads_a_folder_of_movies(folder: Path, tmp_path: Path) -> None:
    done = skyreel("train", f"input={folder / 'movies'}", *TINY, "trainer.max_steps=2", "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 0, done.err
    metrics = metrics_of(tmp_path / "run")
    assert metrics["n_objects"] == 6  # a tenth of 60
    assert metrics["data"].endswith("movies")
    task = json.loads((tmp_path / "run" / "model" / "model.json").read_text())["task"]
    assert (task["classes"], task["bands"], task["stamp_size"]) == (list(CLASSES), ["g"], 21)


def test_a_run_is_not_overwritten_by_another(folder: Path) -> None:
    run = folder / "run"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and ".hydra" not in path.parts}
    done = skyreel("train", SOURCE, *TINY, "seed=1", "hydra.run.dir=run", cwd=folder)
    assert done.code == 1
    remedy = f"go on with it (resume={run}) or choose another folder (hydra.run.dir=...)"
    assert done.err == f"skyreel: a new training in {run}: it holds an earlier run; {remedy}\n"
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and ".hydra" not in path.parts} == before


# --------------------------------------------------------------------------------------------------- classify


def test_one_row_per_usable_image(movies: MovieFolder, parquet: dict[str, np.ndarray]) -> None:
    seen = movies.take(slice(None))
    row, image = np.nonzero(seen.frame_mask)
    np.testing.assert_array_equal(parquet["object_id"], seen.object_id[row])
    np.testing.assert_array_equal(parquet["image"], image)
    np.testing.assert_array_equal(parquet["mjd"], seen.reported.mjd[row, image])
    np.testing.assert_array_equal(parquet["label"], seen.label[row])
    assert set(parquet["band"]) == {"g"}
    np.testing.assert_array_equal(parquet["complete"], image >= 2)  # three images make a stack


def test_probabilities_are_the_classifiers(movies: MovieFolder, model: Classifier, parquet: dict[str, np.ndarray]) -> None:
    assert [name for name in parquet if name.startswith("p_")] == [f"p_{name}" for name in CLASSES]
    values = np.stack([parquet[f"p_{name}"] for name in CLASSES], axis=1)
    np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)
    out = model.predict(movies.take(slice(None)))
    np.testing.assert_allclose(values, out.probabilities[out.mask], atol=1e-5)
    np.testing.assert_array_equal(parquet["predicted"], np.array(CLASSES)[values.argmax(axis=1)])


def test_a_single_arrow_file_is_movies_too(folder: Path, parquet: dict[str, np.ndarray]) -> None:
    args = ["model=run/model", "input=movies/movies-asteroid-00000.arrow", "output=one.parquet"]
    done = skyreel("classify", *args, cwd=folder)
    assert done.code == 0, done.err
    one = table(folder / "one.parquet")
    rows = parquet["label"] == "asteroid"
    for name, column in one.items():
        if column.dtype.kind == "f":
            np.testing.assert_allclose(column, parquet[name][rows], atol=1e-6)
        else:
            np.testing.assert_array_equal(column, parquet[name][rows])


# --------------------------------------------------------------------------------------------------- evaluate


def check_scores(metrics: dict, counts: dict[str, int]) -> None:
    """What any metrics.json must hold."""
    keys = {"mean_recall", "accuracy", "recall", "by_n_images", "counts", "data", "config_hash", "classes", "confusion"}
    assert keys <= set(metrics)
    assert {name: count for name, count in metrics["counts"].items() if count} == counts
    assert metrics["n_images"] == [3, 5, 10, 22]
    for scores in (metrics, *(metrics["by_n_images"][str(k)] for k in (3, 5, 10, 22))):
        assert set(scores["recall"]) == set(counts)
        assert scores["mean_recall"] == pytest.approx(np.mean(list(scores["recall"].values())))
        right = sum(scores["confusion"][name][name] for name in counts)
        assert scores["accuracy"] == pytest.approx(right / sum(counts.values()))
        for name, count in counts.items():
            assert list(scores["confusion"][name]) == list(CLASSES)  # the argmax runs over all, present or not
            assert sum(scores["confusion"][name].values()) == count
    assert len(metrics["config_hash"]) == 12


def test_evaluate_scores_a_folder_of_movies(folder: Path, movies: MovieFolder, model: Classifier) -> None:
    done = skyreel("evaluate", "model=run", "input=movies", "protocol=paper", *ALONE, "hydra.run.dir=scored", cwd=folder)
    assert done.code == 0, done.err
    metrics = metrics_of(folder / "scored")
    check_scores(metrics, dict.fromkeys(CLASSES, 12))
    assert metrics["data"] == "movies"
    assert model.task is not None
    cut = alert_window(movies.take(slice(None)), model.task.sequence)
    last = cut.frame_mask.sum(axis=1) - 1
    predicted = np.array(CLASSES)[model.predict(cut).probabilities[np.arange(60), last].argmax(axis=1)]
    assert metrics["accuracy"] == pytest.approx(accuracy_score(cut.label, predicted))
    assert metrics["mean_recall"] == pytest.approx(recall_score(cut.label, predicted, average="macro"))
    report = folder / "scored" / "report.html"
    assert f"report: {report}" in done.out
    page = report.read_text()
    assert all(word in page for word in ("Confusion", "data:image/png;base64,", "n_stacked: 3", metrics["config_hash"]))
    assert 'src="http' not in page
    assert 'href="http' not in page
    for name in ("config.yaml", "run.json"):
        assert (folder / "scored" / name).is_file()


@pytest.mark.real_data
def test_evaluate_scores_real_movies(folder: Path, data_dir: Path) -> None:
    args = ["model=run", "dataset=hits2015a", f"dataset.path={data_dir / 'hits2015a'}", *ALONE, "hydra.run.dir=real"]
    done = skyreel("evaluate", *args, cwd=folder)
    assert done.code == 0, done.err
    metrics = metrics_of(folder / "real")
    kept = {name: count for name, count in metrics["dataset"]["kept"].items() if count}
    check_scores(metrics, kept)
    assert set(kept) == {"supernova", "rr_lyrae", "eclipsing_binary", "non_variable"}
    assert metrics["data"] == "hits2015a"
    left_out = sum(count for reasons in metrics["dataset"]["left_out"].values() for count in reasons.values())
    assert sum(kept.values()) + left_out == sum(metrics["dataset"]["objects"].values()) == 463
    assert "Scores on hits2015a, protocol label_blind" in done.out


def test_labels_the_model_does_not_know_are_counted(folder: Path, tmp_path: Path) -> None:
    few = MovieFolder(folder / "movies").take(np.arange(0, 60, 6))  # two of each class
    label = np.where(few.label == "rr_lyrae", "quasar", few.label)
    write_shard(tmp_path / "few.arrow", [replace(few, label=label)], {})
    done = skyreel("evaluate", f"model={folder / 'run'}", "input=few.arrow", *ALONE, "hydra.run.dir=scored", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "the model does not know their labels: 2 'quasar'" in done.out
    metrics = metrics_of(tmp_path / "scored")
    assert (metrics["labels_left_out"], metrics["n_objects"]) == ({"quasar": 2}, 8)


# ----------------------------------------------------------------------------------------------------- resume


def test_ctrl_c_keeps_the_last_checkpoint_and_resume_ends_where_an_unbroken_run_does(folder: Path, tmp_path: Path) -> None:
    steps = ["source=[supernova,non_variable]", "trainer.max_steps=100", "trainer.valid_every=50"]
    whole = skyreel("train", *TINY, *steps, "hydra.run.dir=whole", cwd=tmp_path)
    assert whole.code == 0, whole.err
    command = [sys.executable, "-m", "skyreel.cli", "train", *TINY, *steps, "hydra.run.dir=broken"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "broken" / "checkpoints" / "last.json"
    deadline = time.monotonic() + 90
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    step = json.loads(checkpoint.read_text())["progress"]["step"]
    assert 0 <= step < 100
    assert f"skyreel: training: stopped after step {step} of 100; resume it from" in errors.splitlines()[-1]
    assert not (tmp_path / "broken" / "model").exists()

    done = skyreel("train", "resume=broken", cwd=tmp_path)
    assert done.code == 0, done.err
    assert metrics_of(tmp_path / "broken")["training"]["step"] == 100
    weights = [(tmp_path / name / "model" / "weights.safetensors").read_bytes() for name in ("broken", "whole")]
    assert weights[0] == weights[1]
    for name in ("recall", "by_n_images", "config_hash"):
        assert metrics_of(tmp_path / "broken")[name] == metrics_of(tmp_path / "whole")[name]

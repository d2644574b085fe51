"""Training from movies that are never held at once: shards in random order, and simulation as it is needed."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import rcnn_toys as toys
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from verb_runs import TINY, refused, skyreel

from skyreel.errors import SimulationError
from skyreel.hydra_glue import compose
from skyreel.movie_files import MovieFolder, write_shard
from skyreel.movies import Movies
from skyreel.seeding import BLOCK, Seeds
from skyreel.simulate import streaming
from skyreel.simulate.run import simulate_movies
from skyreel.simulate.streaming import MovieFeed
from skyreel.verbs import train
from skyreel_rcnn.datamodule import MoviesDataModule
from skyreel_rcnn.inputs import Batch, KeptFluxes, Share, TrainingStream
from skyreel_rcnn.order import CHUNKS_TOGETHER, InTurn, Sampler

SET = ["source=[non_variable,asteroid]", "stamp.size=11"]


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in Batch._fields)


def stream(store: object, *, chunk: object = None, kept: bool = True, augment: bool = True) -> TrainingStream:
    label = np.searchsorted(sorted(toys.CLASSES), store.label)  # type: ignore[attr-defined]
    sampler = Sampler(label, 8, Seeds(3, "x"), True, chunk)  # type: ignore[arg-type]
    fluxes = KeptFluxes(len(store), toys.task()) if kept else None  # type: ignore[arg-type]
    return TrainingStream([Share(store, sampler, kept=fluxes)], toys.task(), Seeds(3, "x"), augment)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> MovieFolder:
    folder = tmp_path_factory.mktemp("shards")
    for k in range(3):
        write_shard(folder / f"{k}.arrow", [toys.movies(16, seed=10 * k + j) for j in range(4)], {})
    return MovieFolder(folder)


# ------------------------------------------------------------------------------------------------ from disk


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30), classes=st.integers(1, 3), seed=st.integers(0, 9), balanced=st.booleans()
)
def test_a_walk_by_chunks_meets_every_object_once(sizes: list[int], classes: int, seed: int, balanced: bool) -> None:
    chunk = np.repeat(np.arange(len(sizes)), sizes)
    label = chunk % classes
    sampler = Sampler(label, 1, Seeds(seed, "x"), balanced, chunk)
    for group in sampler.groups:
        assert sorted(sampler._walk(list(map(list, sampler.groups)).index(list(group)), 0)) == sorted(group)


def test_a_walk_by_chunks_stays_in_few_chunks_and_mixes_them() -> None:
    chunk = np.repeat(np.arange(1000), 8)
    label = chunk % 4
    sampler = Sampler(label, 64, Seeds(0, "x"), True, chunk)
    together = CHUNKS_TOGETHER // 4
    steps = np.array([sampler.rows(step) for step in range(together * 8 * 4 // 64)])
    assert len(np.unique(chunk[steps])) == 4 * together  # one window of every class, to its end
    assert (np.bincount(label[steps[0]]) == 16).all()
    assert len(np.unique(chunk[steps[0]])) > 30  # a batch is not a run of one chunk
    assert not np.array_equal(np.sort(np.unique(chunk[steps])), np.arange(4 * together))
    other = Sampler(label, 64, Seeds(1, "x"), True, chunk)
    assert not np.array_equal(other.rows(0), sampler.rows(0))


def test_batches_from_disk_are_those_from_memory(shards: MovieFolder) -> None:
    disk, memory = stream(shards, chunk=shards.chunk), stream(toys.Store(shards.take(slice(None))), chunk=shards.chunk)
    for step in (0, 5, 40):
        assert same(disk.batch(step), memory.batch(step))


def test_kept_fluxes_change_nothing(shards: MovieFolder) -> None:
    """Whatever was met before, and in which orientation."""
    walked, fresh, without = stream(shards), stream(shards), stream(shards, kept=False)
    for step in range(30):
        walked.batch(step)
    assert same(walked.batch(30), fresh.batch(30))
    assert same(walked.batch(30), without.batch(30))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("first", [0, 7])
def test_the_data_module_gives_the_batches_of_its_steps(first: int, threads: int, shards: MovieFolder) -> None:
    data = MoviesDataModule(stream(shards, chunk=shards.chunk), 12, first=first, threads=threads)
    found = list(data.train_dataloader())
    assert len(found) == len(data.train_dataloader()) == 12 - first
    fresh = stream(shards, chunk=shards.chunk)
    assert all(same(batch, fresh.batch(first + k)) for k, batch in enumerate(found))


def test_a_loader_that_is_left_early_leaves_no_thread(shards: MovieFolder) -> None:
    before = threading.active_count()
    batches = iter(MoviesDataModule(stream(shards), 1000, threads=2).train_dataloader())
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_error_of_a_batch_reaches_the_training(shards: MovieFolder) -> None:
    def take(objects: object) -> Movies:
        raise SimulationError("broken")

    store = toys.Store(shards.take(slice(None)))
    store.take = take
    with pytest.raises(SimulationError, match="broken"):
        list(MoviesDataModule(stream(store), 3).train_dataloader())


# ------------------------------------------------------------------------------------------------ simulated


def test_a_feed_gives_the_movies_of_the_set_in_turn() -> None:
    config = compose("train", SET)
    wanted = simulate_movies(config, "train", 70)
    with MovieFeed(config, "train") as feed:
        assert feed.classes == ("non_variable", "asteroid")
        found = feed.take(np.arange(140))
        np.testing.assert_array_equal(found.label[:4], ["non_variable", "asteroid", "non_variable", "asteroid"])
        place = {name: k for k, name in enumerate(wanted.object_id)}
        wanted = wanted.take([place[name] for name in found.object_id])
        np.testing.assert_array_equal(found.pixels, wanted.pad(found.pixels.shape[1]).pixels)
        assert found.truth is None
        again = feed.take(np.array([139, 3, 3]))  # out of order, twice, a block that was dropped or not
        np.testing.assert_array_equal(again.object_id, found.object_id[[139, 3, 3]])
    with pytest.raises(SimulationError, match=r"it is not open; use it as `with MovieFeed"):
        feed.take(np.arange(2))


def test_a_feed_does_not_depend_on_workers_or_on_what_came_before() -> None:
    config, places = compose("train", SET), np.arange(500, 530)
    with MovieFeed(config, "train") as here, MovieFeed(config, "train", {"name": "processes", "workers": 2}) as there:
        early = here.take(np.arange(10))
        one, two = here.take(places), there.take(places)
    for name in ("pixels", "pixel_mask", "object_id"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(one.reported.mjd, two.reported.mjd)
    assert not set(early.object_id) & set(one.object_id)


def test_a_feed_never_repeats_and_forgets_what_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, int]] = []

    def block(text: str, split: str, label: str, number: int) -> Movies:
        made.append((label, number))
        made_of: Movies = toys.movies(BLOCK)
        return made_of

    monkeypatch.setattr(streaming, "_block", block)
    order, seen, held = InTurn(24), [], 0
    with MovieFeed(compose("train", SET), "train") as feed:
        for step in range(60):
            rows = order.rows(step)
            seen.append(rows)
            feed.take(rows)
            held = max(held, len(feed._blocks))
    assert len(np.unique(seen)) == 60 * 24
    assert len(made) == len(set(made)) == 2 * -(-60 * 12 // BLOCK)
    assert held <= 8


def test_training_on_a_feed(tmp_path: Path) -> None:
    """More movies than the set beside it has, and what was drawn does not depend on n_objects."""
    steps = ["trainer.max_steps=20", "trainer.valid_every=20", "n_valid=2", "n_test=2", "n_objects=8"]
    done = skyreel("train", *TINY, "source=[non_variable,asteroid]", *steps, "++simulation_feed=true", "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["training"]["step"] == 20
    assert metrics["n_objects"] == 4


@pytest.mark.slow
def test_a_training_on_a_feed_does_not_depend_on_the_executor(tmp_path: Path) -> None:
    steps = ["trainer.max_steps=8", "trainer.valid_every=4", "n_valid=2", "n_test=2"]
    for executor in ("inprocess", "processes"):
        args = [*TINY, "source=[non_variable,asteroid]", *steps, "++simulation_feed=true", f"executor={executor}"]
        assert skyreel("train", *args, f"hydra.run.dir={executor}", cwd=tmp_path).code == 0
    a, b = ((tmp_path / name / "model" / "weights.safetensors").read_bytes() for name in ("inprocess", "processes"))
    assert a == b


def test_the_folder_that_hydra_makes_for_a_resumed_run_goes(tmp_path: Path) -> None:
    own, resumed = tmp_path / "own", tmp_path / "resumed"
    for folder in (own, resumed):
        (folder / ".hydra").mkdir(parents=True)
        (folder / "train.log").write_text("")
    train._forget(resumed, resumed)
    assert resumed.is_dir()
    (own / "mine").write_text("precious")
    train._forget(own, resumed)
    assert own.is_dir()
    (own / "mine").unlink()
    train._forget(own, resumed)
    assert not own.exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["++simulation_feed=3"], ["simulation_feed: 3; use true or false"]),
        (["++simulation_feed=true", "input=movies"], ["simulation_feed=true: input=movies beside it; leave one of them out"]),
        (["++simulation_feed=true", "classifier=forest"], ["classifier 'forest' reads its movies more than once; use classifier=rcnn"]),
    ],
)
def test_what_a_feed_does_not_go_with(overrides: list[str], words: list[str], tmp_path: Path) -> None:
    refused(skyreel("train", *overrides, cwd=tmp_path), *words)


# ------------------------------------------------------------------------------------------------ memory

MEASURE = """
import resource, sys
from skyreel.cli import main
code = main(sys.argv[1:])
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
raise SystemExit(code)
"""


def peak(*args: str, cwd: Path) -> float:
    """Largest resident memory of a verb in a process of its own [MiB]."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *args], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return int(done.stdout.rsplit("PEAK", 1)[1]) / unit


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """To disk and from disk; ten times the movies, which would be 250 MiB more in memory."""
    kinds = ["source=[non_variable,asteroid]", "stamp.size=15"]
    network = ["experiment=quickstart", "executor=inprocess", "trainer.threads=1", "trainer.max_steps=20", "trainer.valid_every=20"]
    found = {}
    for n in (1000, 10000):
        simulated = peak("simulate", *kinds, f"n_objects={n}", f"output=m{n}", cwd=tmp_path)
        trained = peak("train", *kinds, *network, f"input=m{n}", "trainer.valid_max=200", cwd=tmp_path)
        found[n] = simulated, trained
    assert max(found[10000]) < 2048
    assert found[10000][0] - found[1000][0] < 60
    assert found[10000][1] - found[1000][1] < 350  # up to HELD_BYTES of mapped shards, and the names and labels

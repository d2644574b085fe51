"""Bytes per movie on disk and time per batch from the disk: pytest benchmarks/bench_movies.py -s

512 simulated movies as Arrow shards of whole ADU, and their pixels alone as float32 .npz, plain and compressed. Batches are
64 movies in random order; the training stream also cuts, turns, stacks and scales them. A step of the small network is its
forward and backward pass and the optimiser, one thread, on the same batch.
"""

import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from skyreel.hydra_glue import compose
from skyreel.interfaces import Task, TrainerOptions
from skyreel.movie_files import MovieFolder
from skyreel.plugin import plugins
from skyreel.preprocessing import SequenceOptions
from skyreel.registry import typed
from skyreel.seeding import Seeds
from skyreel.simulate.run import simulate_to
from skyreel_rcnn.inputs import TrainingStream, share_of
from skyreel_rcnn.module import TrainingModule

LABELS, OBJECTS, BATCH, ROUNDS = ("supernova", "rr_lyrae"), 256, 64, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards."""
    path = tmp_path_factory.mktemp("movies")
    simulate_to(compose("simulate", [f"source=[{','.join(LABELS)}]"]), "train", OBJECTS, path)
    return path


def test_bytes_per_movie(folder: Path, tmp_path: Path) -> None:
    movies = MovieFolder(folder).take(np.arange(len(LABELS) * OBJECTS))
    pixels = movies.pixels[movies.frame_mask].astype(np.float32)
    np.savez(tmp_path / "plain.npz", pixels)
    np.savez_compressed(tmp_path / "compressed.npz", pixels)
    frames = movies.frame_mask.sum()
    sizes = {"Arrow shards, all columns": sum(path.stat().st_size for path in folder.rglob("*.arrow"))}
    sizes |= {f"float32 pixels alone, .npz {name}": (tmp_path / f"{name}.npz").stat().st_size for name in ("plain", "compressed")}
    print(f"\n| on disk | bytes / movie of {frames / len(movies.label):.1f} frames | bytes / pixel |\n|---|---|---|")
    for name, size in sizes.items():
        print(f"| {name} | {size / len(movies.label):,.0f} | {size / pixels.size:.2f} |")


def test_time_per_batch(folder: Path) -> None:
    """A warm cache: what reading costs the processor."""
    rng = np.random.default_rng(1)
    print(f"\n| {BATCH} movies in random order | ms |\n|---|---|")
    for name, store in (("with truth", MovieFolder(folder)), ("without truth", MovieFolder(folder, truth=False))):
        found = []
        for round_ in range(ROUNDS + 1):
            rows = rng.permutation(len(store))[:BATCH]
            begin = time.process_time()
            store.take(rows)
            if round_:
                found.append(1e3 * (time.process_time() - begin))
        low, middle, high = np.percentile(found, [0, 50, 100])
        print(f"| {name} | {middle:.2f} ({low:.2f} to {high:.2f}) |")


def test_loader_share_of_a_training_step(folder: Path) -> None:
    """The second pass over the set: fluxes measured in the first one are kept, as in a training of many passes."""
    torch.set_num_threads(1)
    config = compose("train", ["classifier=rcnn_small", "sequence=calibrated"])
    store = MovieFolder(folder, truth=False)
    task = Task(LABELS, store.bands, store.stamp[-1], ("science",), 0.27, typed(SequenceOptions, config.sequence, "sequence"))
    stream = TrainingStream([share_of(store, task, BATCH, Seeds(1, "bench"), True)], task, Seeds(1, "bench"), augment=True)
    classifier = plugins().registry.create("classifier", config.classifier)
    module = TrainingModule(classifier.build(task).train(), TrainerOptions(batch_size=BATCH), Seeds(1, "bench"), "sum")
    optimiser = module.configure_optimizers()
    once = len(store) // BATCH
    loading, training = [], []
    for step in range(3 * once):
        begin = time.process_time()
        batch = stream.batch(step)
        middle = time.process_time()
        if once <= step < once + 5:
            optimiser.zero_grad()
            module.training_step(batch, step).backward()
            optimiser.step()
            training.append(1e3 * (time.process_time() - middle))
        if step >= once:
            loading.append(1e3 * (middle - begin))
    load, train = np.median(loading), np.median(training[1:])
    print("\n| batch of the stream, ms | step of the small network, ms | share |\n|---|---|---|")
    print(f"| {load:.1f} ({min(loading):.1f} to {max(loading):.1f}) | {train:.0f} | {load / (load + train):.1%} |")

"""Cost of the batches beside a step of the quickstart's network, in one run: pytest benchmarks/bench_loader.py -s

Batches of 64 movies of all classes, from memory and from shards, when objects are met for the first time and again (fluxes are
kept); from a simulation feed; and how long the training waits where threads make them ahead. Medians; torch on one thread.
"""

import os
import time

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
from skyreel.simulate.streaming import MovieFeed
from skyreel.task_inputs import class_index
from skyreel_rcnn.datamodule import MoviesDataModule
from skyreel_rcnn.inputs import KeptFluxes, Share, TrainingStream
from skyreel_rcnn.module import TrainingModule
from skyreel_rcnn.order import InTurn, Sampler

OBJECTS, BATCH, STEPS = 192, 64, 15
SEEDS = Seeds(0, "bench")


def config():
    return compose("train", ["experiment=quickstart"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("loader") / "movies"
    simulate_to(config(), "train", OBJECTS, path)
    return MovieFolder(path).without_truth()


def task_of(classes):
    sequence = typed(SequenceOptions, config().sequence, "sequence")
    return Task(classes=classes, bands=("g",), stamp_size=21, channels=("science",), pixel_scale=0.27, sequence=sequence)


def share(store, task, kept):
    sampler = Sampler(class_index(store.label, task.classes), BATCH, SEEDS, True, getattr(store, "chunk", None))
    return Share(store, sampler, kept=kept)


def milliseconds(function, items):
    """Median processor time of a call."""
    spent = []
    for item in items:
        start = time.process_time()
        function(item)
        spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent))


def stepper(task):
    """One whole training step of the quickstart's network."""
    network = plugins().registry.create("classifier", config().classifier).build(task).train()
    module = TrainingModule(network, TrainerOptions(), SEEDS, "sum")
    optimiser = module.configure_optimizers()

    def step(batch):
        optimiser.zero_grad()
        module.training_step(batch, 0).backward()
        optimiser.step()

    return step


def waiting(data, step):
    """Share of the wall time that a training waits for its batches."""
    batches, waited, begun = iter(data.train_dataloader()), 0.0, 0.0
    for k in range(STEPS):
        start = time.perf_counter()
        batch = next(batches)
        if k == 2:  # the first ones wait for everything to begin
            waited, begun = 0.0, start
        waited += time.perf_counter() - start
        step(batch)
    total = time.perf_counter() - begun
    batches.close()
    return waited / total


def test_print_costs_of_batches(folder):
    torch.set_num_threads(1)
    manifest = folder.manifest
    task = task_of(tuple(manifest["classes"]))
    memory, step, rows = folder.take(slice(None)), stepper(task), []
    for name, store in (("memory", memory), ("shards", folder)):
        kept = KeptFluxes(len(store), task)
        first = TrainingStream([share(store, task, None)], task, SEEDS, True)
        again = TrainingStream([share(store, task, kept)], task, SEEDS, True)
        for k in range(2 * len(store) // BATCH):
            again.batch(k)
        for what, stream in (("first time", first), ("again", again)):
            cost = milliseconds(stream.batch, range(STEPS))
            waits = waiting(MoviesDataModule(stream, 10**6), step)
            rows.append((f"{name}, {what}", cost, waits))
    with MovieFeed(config(), "train") as feed:
        stream = TrainingStream([Share(feed, InTurn(BATCH))], task, SEEDS, True)
        start = time.process_time()
        for k in range(2 * STEPS):
            stream.batch(k)
        rows.append(("simulation feed, this process", 1e3 * (time.process_time() - start) / (2 * STEPS), float("nan")))
    batch = TrainingStream([share(memory, task, None)], task, SEEDS, True).batch(0)
    one = milliseconds(step, [batch] * STEPS)
    print(f"\nstep of the network: {one:.1f} ms; batches of {BATCH}:")
    for name, cost, waits in rows:
        print(f"  {name:30} {cost:6.1f} ms, {100 * cost / one:5.1f} % of a step; the training waits {100 * waits:5.1f} %")
    size = sum(item.path.stat().st_size for item in folder.files) / len(folder)
    print(f"  {size:.0f} bytes per movie on disk")

"""Movies a second with 1, 2 and 4 worker processes and a Dask cluster of two, and what a piece costs beside its work.

In one run: pytest benchmarks/bench_executors.py -s. Workers are started and warm before the clock starts; every library in them
runs on one thread. The parent's memory is what it holds beyond the list of pieces, at its peak.
"""

import os
import time
import tracemalloc

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from skyreel.hydra_glue import compose
from skyreel.seeding import BLOCK
from skyreel.simulate.executors import run_pieces, session, usable_cores
from skyreel.simulate.pieces import Piece
from skyreel.simulate.run import simulate_to

OBJECTS = 6 * BLOCK
EMPTY = 400


def label(piece):
    """As little work as can be."""
    return piece.label


def pieces(n):
    return [Piece("bench", "non_variable", k, BLOCK) for k in range(n)]


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as started:
        yield started.scheduler_address


def measure(options, folder):
    """Movies a second, and microseconds for an empty piece."""
    config = compose("simulate", ["source=[supernova,rr_lyrae,non_variable]"])
    with session(options):
        simulate_to(config, "warm", 4 * BLOCK, folder / "warm", shard_objects=BLOCK, options=options)
        start = time.perf_counter()
        made = simulate_to(config, "bench", OBJECTS, folder / "bench", shard_objects=BLOCK, options=options)
        rate = made / (time.perf_counter() - start)
        run_pieces(label, pieces(20), options, None)
        start = time.perf_counter()
        run_pieces(label, pieces(EMPTY), options, None)
        return rate, 1e6 * (time.perf_counter() - start) / EMPTY


def test_movies_a_second(cluster, tmp_path):
    print(f"\n{usable_cores()} cores\n{'executor':<14}{'movies/s':>10}{'ratio':>8}{'us per piece':>14}")
    first = None
    chosen = [{"name": "inprocess"}, *({"name": "processes", "workers": n} for n in (1, 2, 4)), {"name": "dask", "address": cluster}]
    for number, options in enumerate(chosen):
        rate, overhead = measure(options, tmp_path / str(number))
        first = first or rate
        print(f"{options['name']} {options.get('workers', ''):<4}".ljust(14) + f"{rate:10.0f}{rate / first:8.2f}{overhead:14.0f}")


@pytest.mark.parametrize("n", [1_000, 100_000])
def test_memory_of_the_parent(n):
    work = pieces(n)
    tracemalloc.start()
    run_pieces(label, work, {"name": "inprocess"}, None)
    print(f"\n{n} pieces: {tracemalloc.get_traced_memory()[1] / n:.0f} bytes per piece at the peak")
    tracemalloc.stop()

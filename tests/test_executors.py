"""Executors on this machine: order, progress, bounded memory, lost workers, sessions, options."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch
from executor_pieces import (
    Toy,
    deadly_at_three,
    failing_at_two,
    leaving,
    noting_until_two,
    process_of,
    squared,
    threads_of,
    toys,
)
from hypothesis import given
from hypothesis import strategies as st
from verb_runs import left, refused, skyreel

from skyreel.errors import ConfigError, SimulationError
from skyreel.hydra_glue import compose
from skyreel.simulate import executors, process_pool
from skyreel.simulate.executors import executor, kept_threads, one_thread, run_pieces, session, usable_cores
from skyreel.simulate.pools import DaskOptions, ExecutorOptions, Pool
from skyreel.simulate.run import simulate_movies, simulate_to

SET = ["source=[non_variable,asteroid]", "stamp.size=11"]
ALONE = {"name": "inprocess"}
TWO = {"name": "processes", "workers": 2}


class Threads(Pool):
    """A pool of threads that counts what is outstanding."""

    def __init__(self, width: int = 6) -> None:
        self._pool = ThreadPoolExecutor(2)
        self._width = width
        self.futures: list[Future[Any]] = []
        self.most = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures = [future for future in self.futures if not future.done()]
        future = self._pool.submit(fn, *args, **kwargs)
        self.futures.append(future)
        self.most = max(self.most, len(self.futures))
        return future

    def width(self) -> int:
        return self._width

    def drop(self, futures: Collection[Future[Any]]) -> None:
        wait([future for future in futures if not future.cancel()])

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def threads_instead(width: int = 6) -> Iterator[Threads]:
    pool = Threads(width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "_opened", lambda wanted: pool)
        yield pool


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --------------------------------------------------------------------------------------- order, progress, memory


@given(n=st.integers(0, 40), width=st.integers(1, 9))
def test_results_come_in_order_and_every_piece_ticks_once(n: int, width: int) -> None:
    ticks: list[int] = []
    with threads_instead(width):
        assert run_pieces(squared, toys(n), ALONE, ticks.append) == [k**2 for k in range(n)]
    assert ticks == [3] * n


def test_few_pieces_are_outstanding_however_many_there_are() -> None:
    with threads_instead(6) as pool:
        assert run_pieces(squared, toys(20_000), ALONE, None)[-1] == 19_999**2
    assert 1 < pool.most <= 6


def test_progress_does_not_wait_for_a_slow_first_piece() -> None:
    others_ended, ticks = threading.Event(), []

    def work(piece: Toy) -> bool:
        return piece.number > 0 or others_ended.wait(20)

    def tick(n: int) -> None:
        ticks.append(n)
        if len(ticks) == 29:
            others_ended.set()

    with threads_instead():
        assert run_pieces(work, toys(30), ALONE, tick) == [True] * 30
    assert len(ticks) == 30


def test_the_first_error_cancels_the_rest_and_leaves_nothing_at_work(tmp_path: Path) -> None:
    with threads_instead(6), pytest.raises(ValueError, match="two is wrong"):
        run_pieces(partial(noting_until_two, str(tmp_path)), toys(200), ALONE, None)
    begun, ended = ({path.name.split("-")[1] for path in tmp_path.glob(f"{word}-*")} for word in ("begun", "ended"))
    assert begun == ended
    assert 1 <= len(begun) <= 5


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), RuntimeError("the screen is gone")])
def test_an_error_between_pieces_cancels_the_rest_too(stop: BaseException) -> None:
    made: list[int] = []

    def tick(n: int) -> None:
        raise stop

    def work(piece: Toy) -> None:
        made.append(piece.number)
        time.sleep(0.01)

    with threads_instead(6) as pool, pytest.raises(type(stop)):
        run_pieces(work, toys(200), ALONE, tick)
    assert all(future.done() for future in pool.futures)
    assert len(made) <= 6


def test_in_process_nothing_runs_ahead() -> None:
    order: list[object] = []
    work: Callable[[Toy], None] = lambda piece: order.append(piece.number)  # noqa: E731
    run_pieces(work, toys(3), ALONE, lambda n: order.append("tick"))
    assert order == [0, "tick", 1, "tick", 2, "tick"]


# ------------------------------------------------------------------------------------------------- worker processes


@pytest.fixture(scope="module")
def workers() -> Iterator[None]:
    """Two processes for all tests that simulate: each needs seconds to begin."""
    with session(TWO):
        yield


@pytest.mark.slow
def test_the_same_movies_in_memory_from_worker_processes(workers: None) -> None:
    config = compose("simulate", SET)
    alone, two = (simulate_movies(config, "movies", 320, options=options) for options in (ALONE, TWO))
    np.testing.assert_array_equal(alone.object_id, two.object_id)
    assert alone.pad(99).pixels.tobytes() == two.pad(99).pixels.tobytes()


def test_finished_shards_stay_when_a_worker_is_killed(workers: None, tmp_path: Path) -> None:
    config = compose("simulate", SET)
    simulate_to(config, "movies", 256, tmp_path / "whole", shard_objects=64)

    def kill(n: int) -> None:
        for process in multiprocessing.active_children():
            os.kill(process.pid or 0, signal.SIGKILL)

    words = r"^simulating .*movies-\w+-0000\d.arrow.*: a worker died \(SIGKILL.*; \d of 8 shards are finished and stay"
    with pytest.raises(SimulationError, match=words):
        simulate_to(config, "movies", 256, tmp_path / "out", shard_objects=64, options=TWO, tick=kill)
    whole = contents(tmp_path / "whole")
    there = {name: data for name, data in contents(tmp_path / "out").items() if name.endswith(".arrow")}
    assert 1 <= len(there) < 8
    assert there.items() <= whole.items()
    simulate_to(config, "movies", 256, tmp_path / "out", shard_objects=64)
    assert contents(tmp_path / "out") == whole


def test_the_piece_of_a_killed_worker_is_named() -> None:
    words = r"^simulating toy-3: a worker died \(SIGKILL, which a system .* of memory sends\); check its memory \(fewer executor.workers"
    with pytest.raises(SimulationError, match=words):
        run_pieces(deadly_at_three, toys(8), TWO, None)


def test_a_worker_that_leaves_is_named_with_its_exit_code() -> None:
    with pytest.raises(SimulationError, match=r"^simulating toy-0: a worker died \(exit code 3\)"):
        run_pieces(leaving, toys(1), TWO, None)


def test_a_session_starts_its_workers_once_and_a_broken_pool_anew() -> None:
    def children() -> set[int | None]:
        return {process.pid for process in multiprocessing.active_children()} - others

    others: set[int | None] = set()
    others = children()
    with session(TWO):
        with pytest.raises(ValueError, match="two is wrong"):
            run_pieces(failing_at_two, toys(8), TWO, None)
        first = children()
        assert set(run_pieces(process_of, toys(20), TWO, None)) <= children()
        assert first <= children()
        assert 1 <= len(children()) <= 2
        with executor(TWO) as pool:
            assert pool.submit(process_of, Toy(0)).result() in children()
            assert len(pool._numbers) < 8  # what is done is forgotten
        assert set(run_pieces(process_of, toys(2), ALONE, None)) == {os.getpid()}  # other options, another pool
        first = children()
        with pytest.raises(SimulationError, match="toy-3"):
            run_pieces(deadly_at_three, toys(8), TWO, None)
        assert not children()
        assert not set(run_pieces(process_of, toys(20), TWO, None)) & (first | {os.getpid()})
        assert 1 <= len(children()) <= 2
    assert not children()


def test_a_session_that_is_not_used_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_opened", lambda wanted: pytest.fail("started"))
    with session(TWO):
        pass


def test_ctrl_c_ends_the_processes_at_once() -> None:
    def stop(n: int) -> None:
        raise KeyboardInterrupt

    with session(TWO):
        before = {process.pid for process in multiprocessing.active_children()}
        with pytest.raises(KeyboardInterrupt):
            run_pieces(process_of, toys(20), TWO, stop)
        assert {process.pid for process in multiprocessing.active_children()} <= before
        assert len(run_pieces(process_of, toys(3), TWO, None)) == 3


# ------------------------------------------------------------------------------------------------- threads and cores


def test_one_thread_holds_for_torch_and_linear_algebra_until_the_block_ends() -> None:
    def found() -> tuple[int, int]:
        return threads_of(Toy(0))

    with kept_threads():
        torch.set_num_threads(3)
        threadpoolctl.threadpool_limits(2, "blas")
        with kept_threads():
            one_thread()
            assert found() == (1, 1)
        assert found() == (3, 2)
        run_pieces(lambda piece: one_thread(), toys(1), ALONE, None)
        assert found() == (3, 2)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        ({"sys/fs/cgroup/cpu.max": "20000 100000"}, 1),
        ({"sys/fs/cgroup/cpu.max": "1600000 100000"}, 8),
        ({"proc/self/cgroup": "0::/job/step\n", "sys/fs/cgroup/job/cpu.max": "300000 100000"}, 3),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "300000 100000", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/other/cpu.max": "100000 100000"}, 8),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_cores_within_affinity_and_quota(files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == cores


def test_no_number_of_workers_means_all_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "usable_cores", lambda: 5)
    pools = [process_pool.ProcessPool(workers) for workers in (0, 3)]
    assert [(pool.workers, pool.width()) for pool in pools] == [(5, 10), (3, 6)]


# ------------------------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize(("name", "cls"), [("inprocess", ExecutorOptions), ("processes", ExecutorOptions), ("dask", DaskOptions)])
def test_configs_hold_every_option_with_its_default(name: str, cls: type) -> None:
    config = dict(compose("simulate", [f"executor={name}"]).executor)
    address = {"address": "tcp://here:8786"} if name == "dask" else {}
    assert config | address == vars(cls(name=name, **address))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "slurm"}, r"executor.name: 'slurm'; use inprocess or processes, or dask for a running cluster"),
        ({"name": "processes", "workers": -1}, r"executor.workers: -1; use a number of processes, or 0"),
        ({"name": "processes", "address": "tcp://here:1"}, r"executor has no option 'address'; options are name, workers"),
        ({"name": "dask", "workers": 2}, r"executor has no option 'workers'; options are name, address, timeout"),
        ({"name": "dask"}, r"executor.address: no cluster given; start a scheduler \(`dask scheduler`\) and workers .*tcp://HOST:8786"),
        ({"name": "dask", "address": "tcp://here:1", "timeout": 0}, r"executor.timeout: 0.0; use a number of seconds above 0"),
        ({"name": "dask", "address": "tcp://here:1", "wait": float("inf")}, r"executor.wait: inf; use a number of seconds above 0"),
        ({"name": "dask", "address": "tcp://here:1", "retries": -1}, r"executor.retries: -1; use 0 or more"),
        ({"name": "dask", "address": "tls://here:1", "tls_ca": "a"}, r"tls_ca: without executor.tls_cert and executor.tls_key; give all"),
        (
            {"name": "dask", "address": "tls://here:1", "tls_ca": "a", "tls_cert": "b", "tls_key": "c"},
            r"executor.tls_ca=a: no such file; name a PEM file",
        ),
    ],
)
def test_options_that_cannot_be_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words), executor(options):
        pass


def test_a_cluster_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"^executor=dask: distributed is not installed; pip install 'skyreel\[dask\]'$"):
        run_pieces(squared, toys(1), {"name": "dask", "address": "tcp://here:8786"}, None)


def test_a_cluster_without_an_address(tmp_path: Path) -> None:
    refused(skyreel("simulate", *SET, "n_objects=4", "output=out", "executor=dask", cwd=tmp_path), "executor.address: no cluster given")
    assert left(tmp_path) == set()


def test_the_package_of_clusters_is_imported_only_for_one() -> None:
    code = "import skyreel.simulate.dask_pool, skyreel.simulate.executors, sys; print({'distributed', 'dask', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"

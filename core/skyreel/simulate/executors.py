"""Where blocks are simulated: in this process or in worker processes, through one concurrent.futures interface."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from skyreel.errors import ConfigError, SimulationError
from skyreel.registry import typed


@dataclass
class ExecutorOptions:
    """Where the blocks are simulated (config group `executor`).

    Attributes
    ----------
    name : 'inprocess' or 'processes'
    workers : int
        Processes; 0: one per core.
    """

    name: str = "inprocess"
    workers: int = 0

    def __post_init__(self) -> None:
        if self.name not in ("inprocess", "processes"):
            raise ConfigError("executor.name", repr(self.name), "use inprocess or processes")
        if self.workers < 0:
            raise ConfigError("executor.workers", str(self.workers), "use a number of processes, or 0 for one per core")


def one_thread() -> None:
    """Torch on one thread from here on, in this process."""
    # Sums split over threads may round differently: one thread gives the same bytes everywhere.
    import torch

    torch.set_num_threads(1)


class _InProcess(Executor):
    """Runs at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as err:
            future.set_exception(err)
        return future


@contextmanager
def executor(options: Mapping[str, Any]) -> Iterator[Executor]:
    """The executor that config group `executor` asks for (see `ExecutorOptions`)."""
    wanted = typed(ExecutorOptions, options, "executor")
    if wanted.name == "inprocess":
        yield _InProcess()
        return
    import multiprocessing

    pool = ProcessPoolExecutor(wanted.workers or os.cpu_count() or 1, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    except BrokenProcessPool as err:
        raise SimulationError("simulating in processes", "a worker died", "check its memory, or use executor=inprocess") from err
    except KeyboardInterrupt:
        for worker in list(pool._processes.values()):  # they would finish their piece first, and nobody wants it any more
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started in the block never see Ctrl-C, which a terminal sends to all of them: this one stops them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Sized(Protocol):
    """A unit of work: `n_objects` movies."""

    @property
    def n_objects(self) -> int:
        """Movies it makes."""


def run_pieces(
    function: Callable[[Any], Any], work: Sequence[Sized], options: Mapping[str, Any], tick: Callable[[int], None] | None
) -> list[Any]:
    """`function` of every piece of work, in order, by the executor that `options` name.

    Parameters
    ----------
    function : callable
        Picklable; called with one piece.
    work : sequence
    options : mapping
        Config group `executor` (see `ExecutorOptions`).
    tick : callable or None
        Called with the objects of each finished piece.
    """
    import torch

    threads = torch.get_num_threads()
    results = []
    try:
        with executor(options) as pool:
            if isinstance(pool, _InProcess):
                futures: Iterator[Future[Any]] = (pool.submit(function, piece) for piece in work)
            else:
                with _deaf_to_ctrl_c():
                    futures = iter([pool.submit(function, piece) for piece in work])
            for piece, future in zip(work, futures, strict=True):
                results.append(future.result())
                if tick:
                    tick(piece.n_objects)
    finally:
        torch.set_num_threads(threads)
    return results

"""Worker processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from skyreel.errors import SimulationError, SkyreelError
from skyreel.simulate.pools import Pool, usable_cores

IDLE = -1
"""In place of a job's number."""
MOST_ON_WINDOWS = 61
"""Processes that `ProcessPoolExecutor` can wait for there."""

_notes: Any = None
"""In a worker: for every worker its process id and the number of the job it is at, in memory shared with the parent."""
_seat = 0
"""In a worker: where in `_notes` its own job stands."""


def _introduce(shared: Any, seats: Any) -> None:
    """First thing a worker does: it takes the next two numbers of the shared memory for itself."""
    global _notes, _seat
    with seats.get_lock():
        _seat = 2 * seats.value + 1
        seats.value += 1
    _notes = shared
    _notes[_seat - 1], _notes[_seat] = os.getpid(), IDLE


def _noted(number: int, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls the function while the job's number stands where the parent reads it, should this process die."""
    _notes[_seat] = number
    try:
        return fn(*args, **kwargs)
    finally:
        _notes[_seat] = IDLE


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


class ProcessPool(Pool):
    """Worker processes, started one by one as there is work for them.

    Parameters
    ----------
    workers : int
        Processes; 0: one per core that this process may use.
    """

    def __init__(self, workers: int = 0) -> None:
        most = MOST_ON_WINDOWS if sys.platform == "win32" else sys.maxsize
        self.workers = min(workers or usable_cores(), most)
        context = multiprocessing.get_context("spawn")  # a fork would copy locks of torch's threads
        self._shared = context.RawArray("q", [0, IDLE] * self.workers)
        arguments = (self._shared, context.Value("q", 0))
        self._pool = ProcessPoolExecutor(self.workers, context, initializer=_introduce, initargs=arguments)
        self._processes: dict[int, Any] = {}
        self._numbers: WeakKeyDictionary[Future[Any], int] = WeakKeyDictionary()
        self._count = count()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hands a call to the next worker that is free."""
        number = next(self._count)
        with _deaf_to_ctrl_c():  # it may start a process
            future = self._pool.submit(_noted, number, fn, args, kwargs)
        self._processes |= self._pool._processes
        self._numbers[future] = number
        return future

    def width(self) -> int:
        """One in work and one waiting for each worker."""
        return 2 * self.workers

    def drop(self, futures: Collection[Future[Any]]) -> None:
        """Cancels those of these futures that have not begun and waits for the others."""
        wait([future for future in futures if not future.cancel()])

    def stop(self, futures: Collection[Future[Any]]) -> None:
        """Ends the processes at once: nobody wants what they are at any more."""
        self.usable = False
        for future in futures:
            future.cancel()
        for process in self._processes.values():
            process.terminate()
        self.shutdown()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `concurrent.futures.Executor.shutdown`."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def lost(self, futures: Collection[Future[Any]]) -> list[Future[Any]]:
        """Those of these futures whose worker died by itself, after which the pool is of no use."""
        gone = {process.pid for process in self._dead()}
        at_work = {self._shared[k + 1] for k in range(0, len(self._shared), 2) if self._shared[k] in gone}
        return [future for future in futures if self._numbers.get(future) in at_work]

    def blamed(self, err: BaseException) -> bool:
        """Whether a worker died."""
        return isinstance(err, BrokenProcessPool)

    def named(self, err: BaseException, work: str) -> SkyreelError:
        """SimulationError that says how the worker died."""
        self.usable = False
        how = " and ".join(sorted({_end(process.exitcode) for process in self._dead()}))
        remedy = "check its memory (fewer executor.workers need less), or use executor=inprocess"
        return SimulationError(work, f"a worker died{f' ({how})' if how else ''}", remedy)

    def _dead(self) -> list[Any]:
        """Processes that ended otherwise than by the pool, which terminates the others when one dies."""
        self.shutdown()  # waits until all have ended
        return [process for process in self._processes.values() if process.exitcode not in (0, None, -signal.SIGTERM)]


def _end(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    if -code == signal.SIGKILL:
        return "SIGKILL, which a system that runs out of memory sends"
    return signal.Signals(-code).name

"""Where blocks are simulated: in this process, in worker processes or on a Dask cluster, through one concurrent.futures interface."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from skyreel.errors import ConfigError
from skyreel.registry import typed
from skyreel.simulate.pools import DaskOptions, ExecutorOptions, InProcess, Pool, kept_threads, one_thread, usable_cores

Options = ExecutorOptions | DaskOptions


def _checked(options: Mapping[str, Any]) -> Options:
    name = options.get("name", "inprocess")
    if name not in ("inprocess", "processes", "dask"):
        raise ConfigError("executor.name", repr(name), "use inprocess or processes, or dask for a running cluster")
    return typed(DaskOptions, options, "executor") if name == "dask" else typed(ExecutorOptions, options, "executor")


def _opened(wanted: Options) -> Pool:
    if isinstance(wanted, DaskOptions):
        from skyreel.simulate.dask_pool import DaskPool

        return DaskPool(wanted)
    if wanted.name == "inprocess":
        return InProcess()
    from skyreel.simulate.process_pool import ProcessPool

    return ProcessPool(wanted.workers)


class _Session:
    """A pool that is opened when it is first needed, and anew where it broke."""

    def __init__(self, wanted: Options) -> None:
        self.wanted = wanted
        self._pool: Pool | None = None

    def pool(self) -> Pool:
        if self._pool is None or not self._pool.usable:
            self.close()
            self._pool = _opened(self.wanted)
        return self._pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool = None


_session: ContextVar[_Session | None] = ContextVar("session", default=None)


@contextmanager
def session(options: Mapping[str, Any]) -> Iterator[None]:
    """Within the block, every `executor` of these options is one and the same: workers start once for all parts of a run.

    Nothing is started before the first of them is needed.

    Parameters
    ----------
    options : mapping
        Config group `executor`.
    """
    opened = _Session(_checked(options))
    token = _session.set(opened)
    try:
        yield
    finally:
        _session.reset(token)
        opened.close()


@contextmanager
def executor(options: Mapping[str, Any]) -> Iterator[Pool]:
    """The executor that config group `executor` asks for (see `pools.ExecutorOptions`, `pools.DaskOptions`).

    Raises
    ------
    ConfigError
        For options out of range, and for executor=dask without its package.
    SimulationError
        Where a worker is lost, a cluster cannot be reached or has other software.
    """
    wanted = _checked(options)
    around = _session.get()
    shared = around is not None and around.wanted == wanted
    with ExitStack() as stack:
        if around is not None and shared:
            pool = around.pool()
        else:
            pool = _opened(wanted)
            stack.callback(pool.shutdown, cancel_futures=True)
        try:
            yield pool
        except KeyboardInterrupt:
            pool.stop([])
            raise
        except Exception as err:
            if not pool.blamed(err):
                raise
            raise pool.named(err, f"simulating with executor={wanted.name}") from err


class Sized(Protocol):
    """A unit of work: `n_objects` movies."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def n_objects(self) -> int:
        """Movies it makes."""


def run_pieces(
    function: Callable[[Any], Any],
    work: Sequence[Sized],
    options: Mapping[str, Any],
    tick: Callable[[int], None] | None,
    *,
    folder: Path | None = None,
) -> list[Any]:
    """`function` of every piece of work, in order, by the executor that `options` name.

    Only a few pieces per worker are outstanding at a time, however many there are. The first error cancels all that have not begun;
    when it is raised, nothing is at work any more.

    Parameters
    ----------
    function : callable
        Picklable and without side effects other than files written whole; called with one piece, perhaps twice where a worker is lost.
    work : sequence
    options : mapping
        Config group `executor` (see `executor`).
    tick : callable or None
        Called with the objects of each piece as it ends, in any order.
    folder : Path, optional
        Folder of this machine that the pieces write into.

    Raises
    ------
    SimulationError
        Where a worker is lost; names the piece it was at.
    OutputError
        Where workers on other machines cannot write into `folder`.
    """
    results: list[Any] = [None] * len(work)
    with kept_threads(), executor(options) as pool:
        if folder is not None:
            pool.require_folder(folder)
        with closing(_as_they_end(function, work, pool)) as ended:
            for number, result in ended:
                results[number] = result
                if tick:
                    tick(work[number].n_objects)
    return results


def _as_they_end(function: Callable[[Any], Any], work: Sequence[Sized], pool: Pool) -> Generator[tuple[int, Any], None, None]:
    """Number and result of every piece; submits the next ones as others end."""
    waiting = iter(range(len(work)))
    outstanding: dict[Future[Any], int] = {}
    try:
        while True:
            for number in islice(waiting, max(pool.width() - len(outstanding), 0)):
                outstanding[pool.submit(function, work[number])] = number
            if not outstanding:
                return
            done, _ = wait(outstanding, pool.poll, FIRST_COMPLETED)
            if not done:
                pool.check()
            for future in sorted(done, key=outstanding.__getitem__):
                result = future.result()
                yield outstanding.pop(future), result
    except (KeyboardInterrupt, GeneratorExit):
        pool.stop(outstanding)
        raise
    except Exception as err:
        pool.drop(outstanding)
        if not pool.blamed(err):
            raise
        raise pool.named(err, f"simulating {_guilty(work, outstanding, pool)}") from err


def _guilty(work: Sequence[Sized], outstanding: Mapping[Future[Any], int], pool: Pool) -> str:
    """The pieces that took their workers down, or else all that were outstanding, of which it was one."""
    lost = pool.lost(list(outstanding))
    names = [work[outstanding[future]].name for future in lost or outstanding]
    if lost or len(names) == 1:
        return " and ".join(names)
    return f"one of {', '.join(names)}"


__all__ = ["executor", "kept_threads", "one_thread", "run_pieces", "session", "usable_cores"]

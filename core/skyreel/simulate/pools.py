"""What all pools of workers share, and the simplest of them: this process."""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import threadpoolctl

from skyreel.errors import ConfigError, SimulationError, SkyreelError


@dataclass
class ExecutorOptions:
    """Where the blocks are simulated (config group `executor`): on this machine.

    Attributes
    ----------
    name : 'inprocess' or 'processes'
    workers : int
        Processes; 0: one per core that this process may use.
    """

    name: str = "inprocess"
    workers: int = 0

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigError("executor.workers", str(self.workers), "use a number of processes, or 0 for one per core")


@dataclass
class DaskOptions:
    """Where the blocks are simulated (config group `executor`): on the workers of a running Dask cluster.

    Attributes
    ----------
    name : 'dask'
    address : str
        Of the cluster's scheduler, for example 'tcp://10.0.0.1:8786', or 'tls://...' with the three files below.
    timeout : float, s
        For reaching the scheduler.
    wait : float, s
        For a first worker, and for another where all have left; a queue of jobs may need more.
    retries : int
        Times that a piece which failed is tried again, for file systems that fail at times. A piece whose worker was lost goes to
        another worker without counting here.
    tls_ca, tls_cert, tls_key : str
        PEM files of an encrypted cluster: its authority, and this client's certificate and key. All or none.
    """

    name: str = "dask"
    address: str = ""
    timeout: float = field(default=10.0, metadata={"unit": "s"})
    wait: float = field(default=60.0, metadata={"unit": "s"})
    retries: int = 1
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""

    def __post_init__(self) -> None:
        if not self.address:
            how = "start a scheduler (`dask scheduler`) and workers (`dask worker tcp://HOST:8786`) and name it"
            raise ConfigError("executor.address", "no cluster given", f"{how}, executor.address=tcp://HOST:8786")
        for name in ("timeout", "wait"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"executor.{name}", str(getattr(self, name)), "use a number of seconds above 0")
        if self.retries < 0:
            raise ConfigError("executor.retries", str(self.retries), "use 0 or more")
        self._check_tls()

    def _check_tls(self) -> None:
        files = {name: getattr(self, name) for name in ("tls_ca", "tls_cert", "tls_key")}
        given = [name for name, file in files.items() if file]
        if given and len(given) < len(files):
            missing = " and ".join(f"executor.{name}" for name in files if name not in given)
            raise ConfigError(f"executor.{given[0]}", f"without {missing}", "give all three files, or none")
        for name in given:
            if not Path(files[name]).is_file():
                raise ConfigError(f"executor.{name}={files[name]}", "no such file", "name a PEM file")


class Pool(Executor):
    """Workers of one kind, through the interface of concurrent.futures.

    Attributes
    ----------
    usable : bool
        False once it was stopped or lost a worker that it cannot replace.
    poll : float or None, s
        How often `check` should be called while work is outstanding; None: never.
    """

    usable: bool = True
    poll: float | None = None

    @abstractmethod
    def width(self) -> int:
        """Pieces that should be outstanding at a time, so that no worker waits for its next one."""

    @abstractmethod
    def drop(self, futures: Collection[Future[Any]]) -> None:
        """Cancels those of these futures that have not begun and waits for the others, so that nothing is being written any more."""

    def check(self) -> None:
        """SimulationError where the work cannot go on and no future would ever say so."""
        return

    def blamed(self, err: BaseException) -> bool:
        """Whether this is an error of the pool itself (a lost worker, say) and not of the work."""
        return False

    def lost(self, futures: Collection[Future[Any]]) -> list[Future[Any]]:
        """Those of these futures that took their worker down with them, if that can be told; after an error that is `blamed`."""
        return []

    def named(self, err: BaseException, work: str) -> SkyreelError:
        """What the user reads instead of an error that is `blamed`, met at this `work`."""
        return SimulationError(work, str(err), "use executor=inprocess")

    def stop(self, futures: Collection[Future[Any]]) -> None:
        """Drops these futures and, where that takes long, the work that has begun too; for Ctrl-C."""
        self.drop(futures)

    def require_folder(self, folder: Path) -> None:
        """OutputError unless every worker can write into this folder of this machine."""
        return


class InProcess(Pool):
    """Runs at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs it, and returns a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as err:
            future.set_exception(err)
        return future

    def width(self) -> int:
        """One at a time."""
        return 1

    def drop(self, futures: Collection[Future[Any]]) -> None:
        """Nothing to do: a submitted future is done."""
        return


@lru_cache(maxsize=1)
def _linear_algebra(modules: int) -> Any:
    """The loaded libraries of linear algebra; looked for again, which takes milliseconds, where the number of modules has changed."""
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def one_thread() -> None:
    """Torch and numpy's linear algebra on one thread from here on, in this process (see `kept_threads`)."""
    # Sums and decompositions that are split over threads may round differently: one thread gives the same bytes everywhere.
    import torch

    torch.set_num_threads(1)
    _linear_algebra(len(sys.modules)).limit(limits=1)


@contextmanager
def kept_threads() -> Iterator[None]:
    """The numbers of threads that `one_thread` changes are as before after the block."""
    import torch

    threads = torch.get_num_threads()
    with _linear_algebra(len(sys.modules)).limit():  # limits nothing, but restores what it found
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: by its affinity (taskset, Slurm) and by the quota of its control group (containers).

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *_quotas(root)]))


def _quotas(root: Path) -> list[int]:
    """Limits in whole cores of this process's control group (version 2 of them, then 1) and of those it is in."""
    groups = root / "sys/fs/cgroup"
    try:
        own = next(line[3:] for line in (root / "proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        own = "/"
    here = groups / own.strip("/")
    texts = [_text(folder / "cpu.max") for folder in (here, *here.parents) if folder.is_relative_to(groups)]
    first = groups / "cpu"
    texts.append(f"{_text(first / 'cpu.cfs_quota_us')} {_text(first / 'cpu.cfs_period_us')}")
    pairs = [text.split() for text in texts]
    # 'max' and -1 stand for no limit
    return [-(-int(pair[0]) // int(pair[1])) for pair in pairs if len(pair) == 2 and pair[0].isdigit() and int(pair[1])]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

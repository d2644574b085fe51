"""Workers of a running Dask cluster. Its package, `distributed`, is imported only here and only where a cluster is asked for."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from skyreel.errors import ConfigError, OutputError, SimulationError, SkyreelError
from skyreel.simulate.pools import DaskOptions, Pool, kept_threads, one_thread

POLL = 2.0
"""Seconds between two looks at the cluster."""
LEAST_OUTSTANDING = 64
"""Pieces handed over at least, for a cluster that takes more workers as work waits."""
MOST_NAMED = 4
"""Differences that a message lists."""

# ------------------------------------------------------------------------------------------------------------ on a worker

_alone = threading.Lock()
_counting = threading.Lock()
_present: Counter[str] = Counter()
_dropped: set[str] = set()


@lru_cache(maxsize=1)
def software() -> dict[str, str]:
    """What the bytes of a movie depend on, in this process: Python, recorded distributions and plugins with their versions."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from skyreel.hydra_glue import RECORDED
    from skyreel.plugin import plugins

    found = {"python": platform.python_version()}
    for name in RECORDED:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | {f"plugin {name}": origin for name, origin in plugins().origin.items()}


def at_work(batch: str, expected: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A call as a worker makes it: alone in its process and on one thread, whatever number of threads the worker has.

    Parameters
    ----------
    batch : str
        Of calls that are dropped together.
    expected : str
        The client's `software`, as JSON: workers may join long after the client looked.

    Returns
    -------
    object
        What the call returns; None, and no call, where its batch was dropped.

    Raises
    ------
    SimulationError
        For other software here.
    """
    with _counting:
        _present[batch] += 1
    try:
        with _alone:  # components need not be safe in threads
            if batch in _dropped:
                return None
            others = differences(json.loads(expected), software())
            if others:
                raise _other_software("a worker that joined later", others)
            with kept_threads():
                one_thread()
                return fn(*args, **kwargs)
    finally:
        with _counting:
            _present[batch] -= 1


def drop_batch(batch: str) -> int:
    """No call of this batch begins in this process any more; returns those that have begun."""
    _dropped.add(batch)
    with _counting:
        return _present[batch]


def sees(folder: str, token: str) -> str:
    """Why this machine does not see the client's folder with a file of that name, or cannot write there; '' if it does and can."""
    path = Path(folder)
    if not (path / token).exists():
        return "it is not there" if not path.is_dir() else "it is another folder there"
    try:
        own = path / f"{token}{uuid4().hex}"
        own.touch()
        own.unlink()
    except OSError as err:
        return err.strerror or str(err)
    return ""


# ------------------------------------------------------------------------------------------------------------ at the client


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """One text for each item of `software` that differs, with both versions."""
    names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    return [f"{name} {there.get(name, 'none')} (here {here.get(name, 'none')})" for name in names]


def _other_software(where: str, others: list[str]) -> SimulationError:
    more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    found = f"{where} has {', '.join(others[:MOST_NAMED])}{more}"
    return SimulationError("executor=dask", found, "install the same versions on all machines, so that movies have the same bytes anywhere")


class DaskPool(Pool):
    """Workers of a running Dask cluster.

    Parameters
    ----------
    options : DaskOptions

    Raises
    ------
    ConfigError
        Without the package `distributed`.
    SimulationError
        If the scheduler cannot be reached, no worker comes, or one has other software than this process.
    """

    poll = POLL

    def __init__(self, options: DaskOptions) -> None:
        try:
            import distributed
        except ImportError as err:
            raise ConfigError("executor=dask", f"{err.name or 'distributed'} is not installed", "pip install 'skyreel[dask]'") from err
        self._distributed: Any = distributed
        self._options = options
        self._batch = uuid4().hex
        self._software = json.dumps(software())
        self._client = self._connected()
        try:
            self._threads = 0
            self._seen = time.monotonic()
            self._asked = float("-inf")
            self._wait_for_a_worker()
            self._check_software()
        except BaseException:
            self._client.close()
            raise
        self._executor = self._client.get_executor(pure=False, retries=options.retries)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hands a call to the scheduler."""
        future: Future[Any] = self._executor.submit(at_work, self._batch, self._software, fn, args, kwargs)
        return future

    def width(self) -> int:
        """Two for each thread of the workers there are now, or more where there are few."""
        self._look()
        return max(LEAST_OUTSTANDING, 2 * self._threads)

    def check(self) -> None:
        """SimulationError once all workers have been away for longer than ``wait``."""
        self._look()
        if time.monotonic() - self._seen > self._options.wait:
            raise self._no_worker("have left, and none has come")

    def blamed(self, err: BaseException) -> bool:
        """Whether workers died, or the scheduler was lost."""
        gone = (self._distributed.scheduler.KilledWorker, self._distributed.comm.CommClosedError)
        return isinstance(err, (CancelledError, ModuleNotFoundError, *gone))

    def lost(self, futures: Collection[Future[Any]]) -> list[Future[Any]]:
        """Those of these futures whose workers died one after the other."""
        killed = self._distributed.scheduler.KilledWorker
        ended = [future for future in futures if future.done() and not future.cancelled()]
        return [future for future in ended if isinstance(future.exception(), killed)]

    def named(self, err: BaseException, work: str) -> SkyreelError:
        """SimulationError that says what was lost."""
        if isinstance(err, self._distributed.scheduler.KilledWorker):
            found = f"{err.allowed_failures + 1} workers died while they were at it"
            return SimulationError(work, found, "check the memory of the workers and their logs, or use executor=inprocess")
        if isinstance(err, ModuleNotFoundError):
            return SimulationError(work, f"{err} on the cluster", "install there what is installed here")
        self.usable = False
        remedy = "look at its log, start it again and repeat the command"
        return SimulationError(work, f"the connection to the scheduler {self._options.address} was lost", remedy)

    def drop(self, futures: Collection[Future[Any]]) -> None:
        """Cancels those of these futures that have not begun and waits for the workers that are at the others."""
        if not futures:
            return
        for future in futures:
            future.cancel()
        batch, self._batch = self._batch, uuid4().hex
        with self._errors():
            while any(self._client.run(drop_batch, batch, on_error="ignore").values()):
                time.sleep(0.1)

    def require_folder(self, folder: Path) -> None:
        """OutputError unless every worker can write into this folder of this machine."""
        token = f".seen-by-workers.{uuid4().hex}"
        (folder / token).touch()
        try:
            with self._errors():
                found = self._client.run(sees, str(folder.resolve()), token)
        finally:
            (folder / token).unlink(missing_ok=True)
        for worker, why in sorted(found.items()):
            if why:
                remedy = "name a folder that all workers and this machine share, or use executor=processes"
                raise OutputError(f"output={folder}", f"worker {worker} cannot write there: {why}", remedy)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leaves the cluster, which goes on running."""
        self._client.close()

    def _connected(self) -> Any:
        options, security = self._options, None
        if options.tls_ca:
            files = {"tls_ca_file": options.tls_ca, "tls_client_cert": options.tls_cert, "tls_client_key": options.tls_key}
            security = self._distributed.Security(**files, require_encryption=True)
        where = f"executor.address={options.address}"
        try:
            return self._distributed.Client(
                options.address, timeout=options.timeout, set_as_default=False, name="skyreel", security=security
            )
        except (OSError, TimeoutError) as err:
            found = f"no Dask scheduler answers within {options.timeout:g} s"
            raise SimulationError(where, found, "start one (`dask scheduler`) or correct the address") from err
        except (ValueError, TypeError, RuntimeError) as err:
            raise ConfigError(where, str(err), "give a scheduler's address as tcp://HOST:8786 (tls:// needs executor.tls_ca)") from err

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """A scheduler that does not answer any more is a SimulationError."""
        try:
            yield
        except (OSError, TimeoutError) as err:
            raise self.named(err, "executor=dask") from err

    def _look(self) -> None:
        """Counts the workers' threads, if that was not done just now."""
        now = time.monotonic()
        if now - self._asked < POLL / 2:
            return
        with self._errors():
            self._threads = sum(self._client.nthreads().values())
        self._asked = now
        if self._threads:
            self._seen = now

    def _no_worker(self, what: str) -> SimulationError:
        address, patience = self._options.address, f"{self._options.wait:g} s"
        remedy = f"start workers (`dask worker {address}`), or raise executor.wait where they queue for a machine"
        return SimulationError(f"executor.address={address}", f"workers {what} within {patience}", remedy)

    def _wait_for_a_worker(self) -> None:
        try:
            with self._errors():
                self._client.wait_for_workers(1, timeout=self._options.wait)
        except SimulationError as err:
            raise self._no_worker("have not come") from err

    def _check_software(self) -> None:
        with self._errors():
            there = dict(self._client.run(software, on_error="return"))
            try:
                there["scheduler"] = self._client.run_on_scheduler(software)
            except Exception as err:  # whatever goes wrong there comes back as it is
                there["scheduler"] = err
        for where, found in there.items():
            who = where if where == "scheduler" else f"worker {where}"
            if isinstance(found, BaseException):
                raise SimulationError("executor=dask", f"{who}: {found}", "install skyreel and its plugins there, as they are here")
            others = differences(software(), found)
            if others:
                raise _other_software(who, others)

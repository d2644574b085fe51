"""Simulates a set into a folder of shards; a run that was stopped or killed goes on where it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from skyreel.errors import ConfigError, Interrupted, MovieFileError, OutputError, SkyreelError
from skyreel.movie_files import MovieFile
from skyreel.movie_manifest import MANIFEST, read_manifest, write_manifest, write_plan
from skyreel.movie_shards import stale_parts, write_shard
from skyreel.seeding import BLOCK
from skyreel.simulate.executors import one_thread, run_pieces
from skyreel.simulate.pieces import Piece, movies_of, pieces
from skyreel.simulate.setup import as_text, cached, simulation_config

SHARD_OBJECTS = 1024
"""Movies in one shard."""
LOCK = ".simulating.lock"


def simulate_to(
    config: Any,
    split: str,
    n_objects: int,
    folder: Path,
    *,
    shard_objects: int = SHARD_OBJECTS,
    options: Mapping[str, Any] | None = None,
    tick: Callable[[int], None] | None = None,
) -> int:
    """Simulates `n_objects` per class into a folder of Arrow shards; returns the number of movies.

    A folder that the same call left unfinished (killed, interrupted, disk full, worker lost) is completed: finished shards
    stay, and the bytes of all are those of an uninterrupted run. Memory does not grow with the set.

    Parameters
    ----------
    config, split, n_objects, options, tick
        See `run.simulate_movies`.
    folder : Path
    shard_objects : int
        Movies in one shard; a multiple of 64.

    Raises
    ------
    ConfigError
        For `n_objects` or `shard_objects` out of range.
    OutputError
        If the folder holds other movies, is being written to or cannot be written to.
    Interrupted
        After Ctrl-C, where shards are finished.
    """
    plain = simulation_config(config)
    text = as_text(plain)
    labels = list(cached(text).sources)
    work = pieces(split, labels, n_objects, _blocks(shard_objects))
    software = _software()
    asked = {"split": split, "n_objects": n_objects, "shard_objects": shard_objects, "config": plain, **software}
    content = {**asked, "classes": labels, "counts": dict.fromkeys(labels, n_objects), "movies": n_objects * len(labels)}
    with _claimed(folder) as new:
        finished = _begun(folder, content, asked, work, new)
        if tick and finished:
            tick(sum(piece.n_objects for piece in finished))
        try:
            rest = [piece for piece in work if piece not in finished]
            # a worker elsewhere has another working directory
            write = partial(_to_shard, text, software, str(folder.resolve()))
            run_pieces(write, rest, options or {"name": "inprocess"}, tick, folder=folder)
            _check_all_there(folder, work)
            for piece in work:  # a worker that was killed, and whose piece another made, could not clean up
                for part in stale_parts(folder, piece.name):
                    part.unlink(missing_ok=True)
            write_manifest(folder, content)
        except BaseException as err:
            _stopped(folder, work, err)
            raise
    return n_objects * len(labels)


def _blocks(shard_objects: int) -> int:
    if shard_objects < BLOCK or shard_objects % BLOCK:
        raise ConfigError("shard_objects", str(shard_objects), f"use a multiple of {BLOCK}, the objects that are simulated together")
    return shard_objects // BLOCK


def _software() -> dict[str, Any]:
    """Versions of the software that the movies depend on; nothing of the machine or the date, so that bytes can repeat."""
    from skyreel.hydra_glue import provenance

    found = provenance()
    return {"versions": found["versions"], "plugins": found["plugins"]}


def _to_shard(text: str, software: Mapping[str, Any], folder: str, piece: Piece) -> int:
    one_thread()
    # enough to make the shard again from its metadata alone
    metadata = {"config": text, **asdict(piece), **software}
    return write_shard(Path(folder) / piece.name, movies_of(piece, cached(text)), metadata)


def _check_all_there(folder: Path, work: Sequence[Piece]) -> None:
    missing = [piece.name for piece in work if not (folder / piece.name).is_file()]
    if missing:
        found = f"{len(missing)} of {len(work)} shards were written but are not here, for example {missing[0]}"
        raise OutputError(f"output={folder}", found, "name a folder that all workers and this machine share")


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """The folder, made if need be, for this process alone; gives whether it is new. Left behind only if something is in it."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"output={folder}", "it already holds movies or is a file", "name a new folder or remove it")
    new = not folder.exists()
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as err:
        raise OutputError(f"output={folder}", "another skyreel is simulating into it", "wait for its end or name a new folder") from err
    except OSError as err:
        raise OutputError(f"output={folder}", str(err), "choose a folder that can be written to") from err
    try:
        yield new
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
        lock.release()
        if new:
            with suppress(OSError):  # not empty: movies, or somebody else's file
                folder.rmdir()


def _begun(folder: Path, content: Mapping[str, Any], asked: Mapping[str, Any], work: Sequence[Piece], new: bool) -> list[Piece]:
    """The pieces that an earlier run finished of what is `asked`; leaves a plan with the `content` in a folder without movies.

    Raises
    ------
    OutputError
        If the folder holds other movies, or all of these.
    """
    there = sorted(path.name for path in folder.glob("*.arrow"))
    remedy = "name a new folder or remove it"
    earlier = None if new else read_manifest(folder)
    if earlier is None:
        if there:
            raise OutputError(f"output={folder}", "it already holds movies or is a file", remedy)
        write_plan(folder, content, [piece.name for piece in work])
        return []
    other = _differences(earlier, asked)
    if other:
        raise OutputError(f"output={folder}", f"it already holds movies of another config ({', '.join(other)})", remedy)
    if earlier.get("state") != "unfinished":
        raise OutputError(f"output={folder}", "it already holds movies: these, and all of them", remedy)
    for piece in work:
        for part in stale_parts(folder, piece.name):
            part.unlink(missing_ok=True)
    return [piece for piece in work if piece.name in there and _whole(folder / piece.name, piece)]


def _whole(path: Path, piece: Piece) -> bool:
    """Whether a shard can stay; a damaged one is removed, to be made again."""
    try:
        file = MovieFile(path)
        file.verify()
        if len(file) == piece.n_objects:
            return True
    except MovieFileError:
        pass
    path.unlink(missing_ok=True)
    return False


def _differing(then: Any, now: Any, key: str = "") -> Iterator[str]:
    """Dotted keys whose values differ, with both values."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*now, *then]):
            yield from _differing(then.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif (list(then) if isinstance(then, tuple) else then) != (list(now) if isinstance(now, tuple) else now):
        told = ["none" if value is None else "given" if isinstance(value, Mapping) else str(value) for value in (then, now)]
        yield f"{key.removeprefix('config.')}: {told[0]}, now {told[1]}"


def _differences(earlier: Mapping[str, Any], asked: Mapping[str, Any], most: int = 4) -> list[str]:
    """The first few of `_differing`, and how many more there are."""
    told = list(_differing({key: earlier.get(key) for key in asked}, asked))
    return told[:most] + ([f"{len(told) - most} more"] if len(told) > most else [])


def _stopped(folder: Path, work: Sequence[Piece], err: BaseException) -> None:
    """Keeps finished shards and says so; leaves nothing where none is finished.

    Raises
    ------
    Interrupted, SkyreelError
        `err` with how to go on.
    """
    for piece in work:
        for part in stale_parts(folder, piece.name):
            with suppress(OSError):
                part.unlink(missing_ok=True)
    finished = sum((folder / piece.name).exists() for piece in work)
    if not finished:
        with suppress(OSError):
            (folder / MANIFEST).unlink(missing_ok=True)
        return
    done = f"{finished} of {len(work)} shards are finished and stay"
    if isinstance(err, KeyboardInterrupt):
        raise Interrupted("simulating", f"interrupted, {done}", "the same command goes on with the rest") from err
    if isinstance(err, SkyreelError):
        remedy = f"{err.remedy}; {done}: the same command goes on with the rest"
        raise type(err)(err.asked, err.found, remedy) from err

"""Simulates whole sets: from a composed config to movies in memory or to shards on disk, with any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from skyreel.errors import ConfigError, OutputError, SimulationError
from skyreel.interfaces import Survey, class_order
from skyreel.movie_files import write_manifest, write_shard
from skyreel.movies import Movies
from skyreel.plugin import plugins
from skyreel.preprocessing import SequenceOptions
from skyreel.registry import typed
from skyreel.seeding import BLOCK
from skyreel.simulate.chain import Simulation
from skyreel.simulate.dates import WindowRule
from skyreel.simulate.executors import one_thread, run_pieces
from skyreel.simulate.options import SimulationOptions

BLOCKS_PER_SHARD = 16
KEYS = ("survey", "source", "psf", "host", "detector", "simulation", "sequence", "stamp", "seed")
"""The part of the config that a simulation depends on."""


def whole_number(config: Mapping[str, Any], key: str, least: int = 0) -> int:
    """A whole number that stands at the top of a config.

    Raises
    ------
    ConfigError
        If it is anything else, or below `least`.
    """
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(key, repr(value), f"use a whole number from {least} on")
    return value


def simulation_config(config: Any) -> dict[str, Any]:
    """The part of a run's config that the simulation depends on, as plain containers."""
    plain = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    assert isinstance(plain, dict)
    return {key: plain.get(key) for key in KEYS}


def build(config: Mapping[str, Any]) -> Simulation:
    """Creates the components a config names.

    Raises
    ------
    ConfigError
        For options out of range, or no class at all.
    PluginError
        For unknown components.
    """
    registry = plugins().registry
    if not config["source"]:
        raise ConfigError("source", "no class", "name at least one, for example source=[supernova,non_variable]")
    if not isinstance(config["stamp"], Mapping):
        raise ConfigError("stamp", repr(config["stamp"]), "give stamp.size=21 for stamps of 21 px")
    size = config["stamp"].get("size")
    if not isinstance(size, int) or not 7 <= size <= 256:
        raise ConfigError("stamp.size", repr(size), "use a whole number of pixels from 7 to 256")
    sequence = typed(SequenceOptions, config["sequence"], "sequence")
    sources = {label: registry.create("source", config["source"][label]) for label in class_order(list(config["source"]))}
    survey = registry.create("survey", config["survey"])
    _supported(survey, config["survey"]["name"])
    return Simulation(
        survey=survey,
        sources=sources,
        psf=registry.create("psf", config["psf"]),
        host=registry.create("host", config["host"]),
        detector=registry.create("detector", config["detector"]),
        options=typed(SimulationOptions, config["simulation"], "simulation"),
        rule=WindowRule(sequence.before_alert, sequence.max_images),
        stamp_size=size,
        seed=whole_number(config, "seed"),
    )


def _supported(survey: Survey, name: str) -> None:
    """SimulationError for what a survey may say of itself but the chain does not render yet."""
    if survey.sampling != "all_visits":
        raise SimulationError(f"survey {name!r}", f"sampling {survey.sampling!r}", "movies are simulated for all_visits alone so far")
    if tuple(survey.channels) != ("science",):
        raise SimulationError(f"survey {name!r}", f"channels {', '.join(survey.channels)}", "science images alone are rendered so far")


@lru_cache(maxsize=4)
def _cached(text: str) -> Simulation:
    return build(OmegaConf.to_container(OmegaConf.create(text)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Piece:
    """A run of blocks of one class: the unit handed to a worker."""

    split: str
    label: str
    first_block: int
    n_objects: int

    @property
    def name(self) -> str:
        """File name of the shard."""
        return f"{self.split}-{self.label}-{self.first_block:05d}.arrow"


def pieces(split: str, labels: Sequence[str], n_objects: int, blocks: int = BLOCKS_PER_SHARD) -> list[Piece]:
    """Cuts `n_objects` per class into runs of `blocks` blocks."""
    if n_objects < 1:
        raise ConfigError("n_objects", str(n_objects), "ask for at least one object per class")
    step = blocks * BLOCK
    return [Piece(split, label, start // BLOCK, min(step, n_objects - start)) for label in labels for start in range(0, n_objects, step)]


def _movies_of(piece: Piece, simulation: Simulation) -> Iterator[Movies]:
    for k, start in enumerate(range(0, piece.n_objects, BLOCK)):
        movies = simulation.block(piece.split, piece.label, piece.first_block + k)
        yield movies.take(slice(0, min(BLOCK, piece.n_objects - start)))


def _in_memory(text: str, piece: Piece) -> Movies:
    one_thread()
    return Movies.concatenate(list(_movies_of(piece, _cached(text))))


def _to_shard(text: str, folder: str, piece: Piece) -> int:
    one_thread()
    metadata = {"config": text, "split": piece.split, "label": piece.label}
    return write_shard(Path(folder) / piece.name, _movies_of(piece, _cached(text)), metadata)


def simulate_movies(
    config: Any, split: str, n_objects: int, *, options: Mapping[str, Any] | None = None, tick: Callable[[int], None] | None = None
) -> Movies:
    """Simulates `n_objects` per class into memory.

    Parameters
    ----------
    config : mapping
        A composed run config (or the part `simulation_config` returns).
    split : str
        Name of the set; sets of different names share no object.
    n_objects : int
        Per class.
    options : mapping, optional
        Config group `executor` (see `ExecutorOptions`); in this process by default.
    tick : callable, optional
        Called with the number of objects finished since the last call.

    Returns
    -------
    Movies
        Class after class, in the project's order. The same bytes for any executor.
    """
    plain = simulation_config(config)
    text = OmegaConf.to_yaml(OmegaConf.create(plain))
    labels = list(_cached(text).sources)
    work = pieces(split, labels, n_objects, blocks=4)
    return Movies.concatenate(run_pieces(partial(_in_memory, text), work, options or {"name": "inprocess"}, tick))


def simulate_to(
    config: Any,
    split: str,
    n_objects: int,
    folder: Path,
    *,
    options: Mapping[str, Any] | None = None,
    tick: Callable[[int], None] | None = None,
) -> int:
    """Simulates `n_objects` per class into a folder of Arrow shards; returns the number of movies.

    Raises
    ------
    OutputError
        If the folder already holds movies or cannot be written to.
    """
    plain = simulation_config(config)
    text = OmegaConf.to_yaml(OmegaConf.create(plain))
    labels = list(_cached(text).sources)
    work = pieces(split, labels, n_objects)
    if folder.exists() and (not folder.is_dir() or any(folder.glob("*.arrow"))):
        raise OutputError(f"output={folder}", "it already holds movies or is a file", "name a new folder or remove it")
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"output={folder}", str(err), "choose a folder that can be written to") from err
    try:
        counts = run_pieces(partial(_to_shard, text, str(folder)), work, options or {"name": "inprocess"}, tick)
        write_manifest(folder, {"split": split, "classes": labels, "n_objects": n_objects, "movies": sum(counts), "config": plain})
    except BaseException:
        for piece in work:  # a set that is not whole would be read as a smaller one
            (folder / piece.name).unlink(missing_ok=True)
            (folder / f".{piece.name}.part").unlink(missing_ok=True)
        if new:
            with suppress(OSError):  # not empty: somebody else put something there
                folder.rmdir()
        raise
    return sum(counts)


__all__ = [
    "Piece",
    "build",
    "pieces",
    "simulate_movies",
    "simulate_to",
    "simulation_config",
    "whole_number",
]

"""Simulated movies like those a model was trained on, for the controls beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from skyreel.errors import ConfigError
from skyreel.hydra_glue import CONFIG
from skyreel.interfaces import MovieStore
from skyreel.models import model_folder
from skyreel.movie_files import MovieFolder
from skyreel.simulate.chain import Simulation
from skyreel.simulate.run import build, simulate_movies, simulation_config, whole_number
from skyreel.verbs.subset import first_of_each, split_folder
from skyreel.verbs.terminal import console, progress


@dataclass(frozen=True)
class TrainingMovies:
    """Movies like those of a model's training.

    Attributes
    ----------
    store : MovieStore
    simulation : Simulation or None
        What made them; None for movies of a folder.
    note : str
        Where they come from, for people.
    """

    store: MovieStore
    simulation: Simulation | None
    note: str


def training_movies(config: Any, classes: tuple[str, ...], number: int) -> TrainingMovies:
    """The first `number` movies of each class of the model's own training set.

    Simulated with the config of the model's run (``config.yaml`` beside ``model/``), with its seed and its split
    ``train``; for a model that was trained on a folder of movies, its part of that folder; without such a config,
    simulated with the config of this command.

    Parameters
    ----------
    config : mapping
        The run's config: ``model``, ``executor`` and, if need be, what is simulated.
    classes : tuple of str
        The model's.
    number : int
        Movies per class.

    Raises
    ------
    ConfigError
        If the model's config cannot be read, simulates none of the classes, or names a folder that is gone.
    """
    folder = model_folder(str(config.model))
    own, file = config, folder.parent / CONFIG
    if file.is_file():
        note = "simulated with the config of the model's own run"
        own = _read(file)
    else:
        note = "simulated with the config of this command, because the model comes without its own"
        console.print(f"{folder} has no {CONFIG} beside it: movies for the controls are {note}")
    if own.get("input") and own is not config:
        return _from_folder(Path(str(own.input)), classes, number, int(own.seed))
    wanted = simulation_config(own)
    wanted["source"] = {name: options for name, options in (wanted["source"] or {}).items() if name in classes}
    if not wanted["source"]:
        found = f"it simulates none of {', '.join(classes)}"
        raise ConfigError(f"movies for the controls of model {config.model}", found, "leave the controls out: controls=false")
    simulation = build(wanted)
    with progress("simulating for the controls", number * len(wanted["source"])) as tick:
        movies = simulate_movies(wanted, "train", number, options=config.executor, tick=tick)
    missing = [name for name in classes if name not in wanted["source"]]
    without = f" (without {', '.join(missing)}, which it does not simulate)" if missing else ""
    return TrainingMovies(movies, simulation, f"{number} movies a class, {note}{without}")


def control_objects(config: Any) -> int:
    """The number of movies per class that the controls are trained on; ConfigError for anything but a whole number from 2 on."""
    return whole_number(config, "control_objects", 2)


def _read(file: Path) -> Any:
    try:
        own = OmegaConf.load(file)
        whole_number(own, "seed")  # type: ignore[arg-type]
    except (OSError, ValueError, AttributeError, YAMLError) as err:
        raise ConfigError(f"config of the model, {file}", f"it cannot be read ({err})", "restore it, or give controls=false") from err
    return own


def _from_folder(path: Path, classes: tuple[str, ...], number: int, seed: int) -> TrainingMovies:
    if not path.exists():
        found = f"the model was trained on input={path}, which is not there"
        raise ConfigError("movies for the controls", found, "start the command where the folder is, or give controls=false")
    store = first_of_each(split_folder(MovieFolder(path), seed)[0], classes, number)
    return TrainingMovies(store, None, f"{len(store)} movies of the model's part of {path}")

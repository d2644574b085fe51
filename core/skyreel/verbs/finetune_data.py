"""What a fine-tuning reads: labelled real movies, and simulated ones like those the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from yaml import YAMLError

from skyreel.datasets.draws import Draw, draws
from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.protocols import usable_frames
from skyreel.hydra_glue import CONFIG
from skyreel.interfaces import Classifier, MovieStore
from skyreel.models import model_folder
from skyreel.movie_files import MovieFolder
from skyreel.simulate.run import simulate_movies, whole_number
from skyreel.verbs.movies_in import movies_in, scored_movies
from skyreel.verbs.subset import Subset, first_of_each, known_of, split_folder
from skyreel.verbs.terminal import console, progress

BATCH = 512


@dataclass(frozen=True)
class Labelled:
    """Movies with a usable image whose labels the model knows.

    Attributes
    ----------
    store : MovieStore
        n movies.
    name : str
        Of the data set, or the folder.
    object_id, group : str (n,)
        `group` names the physical object: its movies stay on one side of every draw.
    bright : bool (n,)
        See `skyreel.evaluate.outcomes.Outcomes`.
    counts : dict
        The data set's tally; empty for a folder.
    strange : dict of str -> int
        Labels that the model does not know -> movies, which are left out.
    blank : dict of str -> int
        Label -> movies without a usable image, which are left out.
    """

    store: MovieStore
    name: str
    object_id: NDArray[np.str_]
    group: NDArray[np.str_]
    bright: NDArray[np.bool_]
    counts: dict[str, Any]
    strange: dict[str, int]
    blank: dict[str, int]

    @property
    def label(self) -> NDArray[np.str_]:
        """Class of every movie."""
        return self.store.label


def labelled_movies(config: Any, classes: Sequence[str]) -> Labelled:
    """The movies of `dataset` or `input` that a model with these classes can learn from.

    Raises
    ------
    ConfigError
        If neither or both are given.
    DataError
        If the model knows no label, no movie has a usable image, or two movies have one name.
    """
    found = scored_movies(movies_in(config), classes)
    label, usable, names = np.asarray(found.store.label), [], []
    for start in range(0, len(found.store), BATCH):
        movies = found.store.take(np.arange(start, min(start + BATCH, len(found.store))))
        usable.append(usable_frames(movies).any(axis=1))
        names.append(movies.object_id)
    kept, object_id = np.concatenate(usable), np.concatenate(names)
    if not kept.any():
        raise DataError(f"fine-tuning on {found.name}", "no movie with a usable image", "check the movies' frame_mask")
    twice, number = np.unique(object_id, return_counts=True)
    if (number > 1).any():
        what = f"object {str(twice[number.argmax()])!r} is there {number.max()} times"
        raise DataError(f"fine-tuning on {found.name}", what, "give every movie a name of its own")
    rows = np.flatnonzero(kept)
    group = object_id if found.group is None else found.group
    bright = np.ones(len(kept), np.bool_) if found.bright is None else found.bright
    blank = {str(name): int((label[~kept] == name).sum()) for name in np.unique(label[~kept])}
    return Labelled(Subset(found.store, rows), found.name, object_id[rows], group[rows], bright[rows], found.counts, found.strange, blank)


def drawn_examples(data: Labelled, per_class: int, n_draws: int, seed: int) -> list[Draw]:
    """The draws, each with at least one object of every class left to score.

    Raises
    ------
    ConfigError
        If `per_class` or `n_draws` is below 1.
    DataError
        If a class has `per_class` objects or fewer.
    """
    for name in np.unique(data.label):
        there = len(np.unique(data.group[data.label == name]))
        if there <= per_class:
            found = f"{data.name} has {there} objects of class {str(name)!r}, and one more is needed to score"
            raise DataError(f"per_class={per_class}", found, "lower per_class, or bring more objects of that class or none")
    return draws(data.label, data.group, per_class, n_draws, seed, object_id=data.object_id)


@dataclass(frozen=True)
class Simulated:
    """Simulated movies of a model's classes.

    Attributes
    ----------
    replay : MovieStore or None
        To mix in; None: nothing is mixed in.
    test : MovieStore
        For the scores before and after; shares no object with `replay` or the model's training.
    config : mapping
        The config behind them.
    note : str
        Where they come from, for people.
    """

    replay: MovieStore | None
    test: MovieStore
    config: Any
    note: str


def simulated_movies(config: Any, classifier: Classifier) -> Simulated:
    """Movies like those of the model's training to mix in, and others to score.

    Simulated with the config of the model's run (``config.yaml`` beside ``model/``) and its seed: the first movies of each
    class in split ``train``, which the model has been trained on, are mixed in; split ``test`` is scored. For a model that
    was trained on a folder of movies: its training and test part of that folder. A model without such a config: simulated
    with the config of this command.

    Raises
    ------
    ConfigError
        For numbers out of range, and where the model's config cannot be read, lacks a class or names a folder that is gone.
    """
    if config.replay_objects is not None:
        whole_number(config, "replay_objects")
    own, note = model_config(str(config.model), config)
    asked = getattr(type(classifier), "replay_objects", own.n_objects)
    most = min(own.n_objects, asked) if config.replay_objects is None else config.replay_objects
    if own.get("input") and own is not config:
        return _of_folder(Path(str(own.input)), classifier.classes, int(most), own)
    missing = [name for name in classifier.classes if name not in own.source]
    if missing:
        found = f"the config simulates {', '.join(own.source)}, not {', '.join(missing)}"
        raise ConfigError(f"movies like those of model {config.model}", found, "name the classes of the model: source=[...]")
    number = next((int(source.n_test) for source in (config, own) if source.get("n_test") is not None), max(own.n_objects // 10, 8))
    parts: dict[str, MovieStore] = {}
    for split, n in {"train": int(most), "test": number}.items():
        if n:
            with progress(f"simulating {split}", n * len(own.source)) as tick:
                movies = simulate_movies(own, split, n, options=config.executor, tick=tick)
            parts[split] = known_of(movies, classifier.classes)[0]
    return Simulated(parts.get("train"), parts["test"], own, f"{note}; per class {most} to mix in and {number} to score")


def model_config(path: str, composed: Any) -> tuple[Any, str]:
    """The config of the run that made a model and where it comes from; the composed one where the model has none.

    Raises
    ------
    ConfigError
        For one that cannot be read.
    """
    folder = model_folder(path)
    file = folder.parent / CONFIG
    if not file.is_file():
        note = "simulated with the config of this command, because the model comes without its own"
        console.print(f"{folder} has no {CONFIG} beside it: movies are {note}")
        own = composed
    else:
        note = "simulated with the config of the model's own run"
        try:
            own = OmegaConf.load(file)
            whole_number(own, "seed")  # type: ignore[arg-type]
        except (OSError, ValueError, AttributeError, YAMLError) as err:
            raise ConfigError(f"config of the model, {file}", f"it cannot be read ({err})", "restore it or move it away") from err
    whole_number(own, "n_objects", 1)
    for source in (own, composed):
        if source.get("n_test") is not None:
            whole_number(source, "n_test", 1)
    return own, note


def _of_folder(path: Path, classes: Sequence[str], number: int, own: Any) -> Simulated:
    if not path.exists():
        found = f"the model was trained on input={path}, which is not there"
        raise ConfigError("movies like those of the model's training", found, "start the command where the folder is")
    train, _, test = split_folder(MovieFolder(path), int(own.seed))
    replay, scored = first_of_each(train, classes, number), known_of(test, classes)[0]
    note = f"the model's parts of {path}; {len(replay)} to mix in and {len(scored)} to score"
    return Simulated(replay if len(replay) else None, scored, own, note)

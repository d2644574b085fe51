"""`skyreel train`: simulate (or read) movies, fit a classifier, keep the model, score it on movies it has not seen."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import OmegaConf
from yaml import YAMLError

from skyreel.errors import ConfigError, DataError, OutputError
from skyreel.evaluate.exhibits import collect_and_write
from skyreel.evaluate.metrics import score
from skyreel.evaluate.outcomes import Key
from skyreel.evaluate.predict import unscored
from skyreel.hydra_glue import CONFIG, config_hash, write_provenance
from skyreel.interfaces import Classifier, MovieStore, Task, TrainerOptions, class_order
from skyreel.models import MODEL
from skyreel.movie_files import MovieFolder
from skyreel.movies import UNLABELLED
from skyreel.plugin import plugins
from skyreel.preprocessing import SequenceOptions
from skyreel.registry import typed
from skyreel.seeding import BLOCK
from skyreel.simulate.run import build, simulate_movies, simulation_config, whole_number
from skyreel.simulate.streaming import MovieFeed
from skyreel.verbs.presenting import data_notes, present
from skyreel.verbs.scoring import THE_MODEL, score_protocols, summary
from skyreel.verbs.subset import known_of, some_of, split_folder, without_truth
from skyreel.verbs.terminal import console, progress

FEED_SAMPLE = 2 * BLOCK
"""Movies per class, the first of the feed, that stand for all where movies are simulated as they are needed: for the list of
bands and the scores of movies that were trained on."""
PROTOCOL = "paper"
"""How simulated movies are cut for their scores: as for the training."""


def run(config: Any, run_dir: Path) -> float:
    """Trains ``classifier`` and returns the mean recall on movies it has not seen, for sweeps.

    ``resume=RUN`` goes on with an interrupted run, under that run's own config. With ``simulation_feed=true`` every step trains on
    movies that are simulated for it, by the `executor`'s workers or in this process, rendered on ``simulation.device``.

    Raises
    ------
    ConfigError
        For options that contradict each other.
    OutputError
        If the run's folder holds another run.
    Interrupted
        After Ctrl-C, once the last checkpoint is on disk.
    """
    resume = config.get("resume")
    if config.dataset.name != "none":
        remedy = "score the model on it afterwards with `skyreel evaluate`"
        raise ConfigError(f"training on dataset={config.dataset.name}", "training reads simulated movies or input=FOLDER", remedy)
    if resume:
        _only_resume()
        _forget(run_dir, Path(str(resume)))
        run_dir = Path(str(resume))
        config = _config_of(run_dir)
    elif (run_dir / CONFIG).exists():
        remedy = f"go on with it (resume={run_dir}) or choose another folder (hydra.run.dir=...)"
        raise OutputError(f"a new training in {run_dir}", "it holds an earlier run", remedy)
    simulation = build(simulation_config(config))  # every component is checked before the first movie is made
    classifier: Classifier = plugins().registry.create("classifier", config.classifier)
    trainer = typed(TrainerOptions, config.trainer, "trainer")
    feeds = _feeds(config, classifier)
    train, valid, test = _movies(config, FEED_SAMPLE if feeds else None)
    # the training set, or what stands for the feed, tells the bands; a damaged movie shows before hours of training
    bands, *_ = (_checked_bands(without_truth(part)) for part in (train, valid, test))
    labels = sorted(set(map(str, np.unique(train.label))))
    if UNLABELLED in labels:
        raise DataError("training", "movies without a label", "label every movie with its class or leave it out")
    task = Task(
        classes=class_order(labels),
        bands=bands,
        stamp_size=train.take(np.array([0])).stamp_size,
        channels=tuple(type(simulation.survey).channels),
        pixel_scale=simulation.survey.camera.pixel_scale,
        sequence=typed(SequenceOptions, config.sequence, "sequence"),
    )
    if not resume:
        write_provenance(run_dir, config)
    with MovieFeed(config, "train", config.executor) if feeds else nullcontext(without_truth(train)) as lessons:
        lessons = cast("MovieStore", lessons)  # a feed only goes to a classifier that says it learns from one
        figures = classifier.fit(lessons, valid, run_dir, task=task, trainer=trainer, seed=int(config.seed), resume=bool(resume))
    classifier.save(run_dir / MODEL)
    console.print(f"model in {run_dir / MODEL}")
    metrics = _scored(classifier, train, test, config, run_dir, figures)
    return float(metrics["mean_recall"])


def _feeds(config: Any, classifier: Classifier) -> bool:
    """Whether movies are simulated as they are needed, none twice.

    Raises
    ------
    ConfigError
        Where `simulation_feed` is no truth value, movies are read from a folder, or the classifier wants them all at once.
    """
    feeds = config.get("simulation_feed", False)
    if not isinstance(feeds, bool):
        raise ConfigError("simulation_feed", repr(feeds), "use true or false")
    if feeds and config.input:
        raise ConfigError("simulation_feed=true", f"input={config.input} beside it", "leave one of them out")
    if feeds and not getattr(classifier, "learns_from_feed", False):
        found = f"classifier {config.classifier.name!r} reads its movies more than once"
        raise ConfigError("simulation_feed=true", found, "use classifier=rcnn or another network, or simulation_feed=false")
    return feeds


def _scored(
    classifier: Classifier, train: MovieStore, test: MovieStore, config: Any, run_dir: Path, training: Mapping[str, Any]
) -> dict[str, Any]:
    """Scores of movies that were held out and, beside them, of as many of the training set."""
    seed = int(config.seed)
    tested, strange = known_of(test, classifier.classes)
    seen = some_of(train, len(tested), seed)
    where = f"{config.input}" if config.input else "simulated"
    title = f"a tenth of {config.input}" if config.input else "simulated test set"
    keys = {part: Key(f"{where} {part}", PROTOCOL, THE_MODEL) for part in ("test", "train")}
    outcomes = score_protocols(classifier, tested, [PROTOCOL], data=keys["test"].data)
    outcomes |= score_protocols(classifier, seen, [PROTOCOL], data=keys["train"].data)
    headline = outcomes[keys["test"]]
    metrics = summary(outcomes, data=keys["test"].data, protocols=[PROTOCOL], seed=seed, unscored=unscored(tested, headline))
    metrics |= {"data": title, "config_hash": config_hash(config), "dataset": {}, "labels_left_out": strange}
    metrics |= {"train": score(outcomes[keys["train"]], seed=seed), "training": dict(training)}
    exhibits = collect_and_write(run_dir, classifier, tested, headline, data=title, protocol=PROTOCOL, seed=seed)
    notes = [
        f"Movies: {title}. Those with an alert start five images before it, all others at their first usable image.",
        f"Accuracy on {len(seen)} movies of the training set: {metrics['train']['accuracy']:.1%}; on the {len(headline)} held out: "
        f"{metrics['accuracy']:.1%}.",
        "Errors after ± are binomial. An object with fewer images than a column asks for counts with its last one.",
        f"Training: {', '.join(f'{key} {value}' for key, value in training.items())}.",
    ]
    notes += data_notes(metrics)
    present(run_dir, config, metrics, outcomes, exhibits, headline=headline, notes=notes, shown=("typical",))
    return metrics


def _config_of(run_dir: Path) -> Any:
    """The config of an earlier run."""
    path = run_dir / CONFIG
    if not path.is_file():
        raise ConfigError(f"run {run_dir}", f"no {CONFIG} in it", "name the folder of an interrupted `skyreel train` run")
    try:
        return OmegaConf.load(path)
    except (OSError, ValueError, YAMLError) as err:
        raise ConfigError(f"run {run_dir}", f"{CONFIG} cannot be read ({err})", "train anew in another folder") from err


def _only_resume() -> None:
    """ConfigError for overrides beside ``resume=``: the run goes on under its own config."""
    from hydra.core.hydra_config import HydraConfig

    if HydraConfig.initialized():
        others = [text for text in HydraConfig.get().overrides.task if not text.startswith("resume=")]
        if others:
            raise ConfigError("resume", f"other options beside it: {' '.join(others)}", "leave them out: the run has its own config")


def _forget(own: Path, resumed: Path) -> None:
    """Removes the folder that Hydra made for a run that goes on in another one, if nothing but Hydra's files is in it."""
    if own.is_dir() and own.resolve() != resumed.resolve() and {path.name for path in own.iterdir()} <= {".hydra", "train.log"}:
        shutil.rmtree(own, ignore_errors=True)


def _movies(config: Any, n_train: int | None = None) -> tuple[MovieStore, MovieStore, MovieStore]:
    """Movies to train on (`n_train` per class, by default `n_objects`), to validate with and to score."""
    if config.input:
        return split_folder(MovieFolder(Path(str(config.input))), int(config.seed))
    total = whole_number(config, "n_objects", 1)
    held = max(total // 10, 8)
    sizes = {"train": total if n_train is None else n_train}
    for split in ("valid", "test"):
        key = f"n_{split}"
        sizes[split] = held if config.get(key) is None else whole_number(config, key, 1)
    parts = []
    for split, n in sizes.items():
        with progress(f"simulating {split}", n * len(config.source)) as tick:
            parts.append(simulate_movies(config, split, n, options=config.executor, tick=tick))
    return parts[0], parts[1], parts[2]


def _checked_bands(movies: MovieStore) -> tuple[str, ...]:
    """Bands in which any of the movies was taken, in the survey's order; DataError where a movie cannot be used."""
    used: set[int] = set()
    bands: tuple[str, ...] = ()
    chunk = getattr(movies, "chunk", None)
    order = np.arange(len(movies)) if chunk is None else np.argsort(chunk, kind="stable")  # each part of the disk is read once
    for start in range(0, len(movies), 1024):
        part = movies.take(order[start : start + 1024])
        part.check("movies to train on")
        bands = part.reported.bands
        used |= set(np.unique(part.reported.band[part.frame_mask]).tolist())
    return tuple(band for k, band in enumerate(bands) if k in used)

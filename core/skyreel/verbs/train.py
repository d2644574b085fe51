"""`skyreel train`: simulate (or read) movies, fit a classifier, keep the model, score it on movies it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from skyreel.errors import ConfigError, DataError
from skyreel.hydra_glue import write_provenance
from skyreel.interfaces import Classifier, MovieStore, Task, TrainerOptions, class_order
from skyreel.movie_files import MovieFolder
from skyreel.plugin import plugins
from skyreel.preprocessing import SequenceOptions
from skyreel.registry import typed
from skyreel.simulate.run import build, simulate_movies, simulation_config
from skyreel.verbs.scoring import score_and_report
from skyreel.verbs.subset import Subset
from skyreel.verbs.terminal import console, progress

CONFIG = "config.yaml"


def run(config: Any, run_dir: Path) -> float:
    """Trains ``classifier`` and returns the mean recall on the simulated test set, for sweeps.

    ``resume=RUN`` goes on with an interrupted run, under that run's own config.

    Raises
    ------
    ConfigError
        For options that contradict each other.
    Interrupted
        After Ctrl-C, once the last checkpoint is on disk.
    """
    resume = config.get("resume")
    if resume:
        run_dir = Path(str(resume))
        if not (run_dir / CONFIG).is_file():
            raise ConfigError(f"resume={resume}", f"no {CONFIG} in it", "name the folder of an interrupted `skyreel train` run")
        config = OmegaConf.load(run_dir / CONFIG)
    else:
        write_provenance(run_dir, config)
    plain = simulation_config(config)
    simulation = build(plain)  # every component is checked before the first movie is made
    classifier: Classifier = plugins().registry.create("classifier", config.classifier)
    trainer = typed(TrainerOptions, config.trainer, "trainer")
    train, valid, test = _movies(config)
    task = Task(
        classes=class_order(sorted(set(map(str, np.unique(train.label))))),
        bands=_bands(train),
        stamp_size=train.take(np.array([0])).stamp_size,
        channels=tuple(type(simulation.survey).channels),
        pixel_scale=simulation.survey.camera.pixel_scale,
        sequence=typed(SequenceOptions, config.sequence, "sequence"),
    )
    figures = classifier.fit(train, valid, run_dir, task=task, trainer=trainer, seed=int(config.seed), resume=bool(resume))
    classifier.save(run_dir / "model")
    console.print(f"model in {run_dir / 'model'}")
    metrics = score_and_report(classifier, test, run_dir, config, data="simulated test set", training=figures)
    return float(metrics["mean_recall"])


def _movies(config: Any) -> tuple[MovieStore, MovieStore, MovieStore]:
    if config.input:
        return _split(MovieFolder(Path(str(config.input))), int(config.seed))
    total = int(config.n_objects)
    held = max(total // 10, 8)
    sizes = {"train": total, "valid": int(config.n_valid or held), "test": int(config.n_test or held)}
    parts = []
    for split, n in sizes.items():
        with progress(f"simulating {split}", n * len(config.source)) as tick:
            parts.append(simulate_movies(config, split, n, options=config.executor, tick=tick))
    return parts[0], parts[1], parts[2]


def _split(folder: MovieFolder, seed: int) -> tuple[MovieStore, MovieStore, MovieStore]:
    """80 / 10 / 10 % of the movies of a folder, by a permutation that the seed fixes."""
    if len(folder) < 10:
        raise DataError(f"input={folder.path}", f"{len(folder)} movies", "training asks for at least 10")
    order = np.random.default_rng(seed).permutation(len(folder))
    held = len(folder) // 10
    return Subset(folder, order[2 * held :]), Subset(folder, order[:held]), Subset(folder, order[held : 2 * held])


def _bands(movies: MovieStore) -> tuple[str, ...]:
    """Bands in which any of the movies was taken, in the survey's order."""
    used: set[int] = set()
    bands: tuple[str, ...] = ()
    for start in range(0, len(movies), 1024):
        part = movies.take(np.arange(start, min(start + 1024, len(movies))))
        bands = part.reported.bands
        used |= set(np.unique(part.reported.band[part.frame_mask]).tolist())
    return tuple(band for k, band in enumerate(bands) if k in used)

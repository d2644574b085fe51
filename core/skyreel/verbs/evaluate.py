"""`skyreel evaluate`: scores a model on real movies (`dataset`) or on any folder of movies (`input`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyreel.errors import ConfigError
from skyreel.hydra_glue import write_provenance
from skyreel.models import load_model
from skyreel.movie_files import MovieFolder
from skyreel.verbs.movies_in import movies_in
from skyreel.verbs.scoring import score_and_report


def run(config: Any, run_dir: Path) -> float:
    """Scores ``model`` after every number of images and returns the mean recall.

    Supernovae start five images before their first detection, the others at their first usable exposure; the argmax
    runs over all classes the model knows.

    Raises
    ------
    ConfigError
        Without ``model``, or with both or neither of ``input`` and ``dataset``.
    """
    if not config.model:
        raise ConfigError("model", "not given", "name the folder of a finished run, for example model=runs/train/...")
    classifier = load_model(str(config.model))
    found = movies_in(config)
    write_provenance(run_dir, config)
    if isinstance(found, MovieFolder):
        metrics = score_and_report(classifier, found, run_dir, config, data=str(config.input))
    else:
        metrics = score_and_report(classifier, found.movies, run_dir, config, data=found.name, counts=found.counts)
    return float(metrics["mean_recall"])

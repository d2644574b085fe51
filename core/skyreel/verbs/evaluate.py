"""`skyreel evaluate`: scores a model on real movies (`dataset`) or on any folder of movies (`input`), and controls beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from skyreel.errors import ConfigError
from skyreel.evaluate.exhibits import collect_and_write
from skyreel.evaluate.names import long_name
from skyreel.evaluate.outcomes import Key
from skyreel.evaluate.predict import unscored
from skyreel.hydra_glue import config_hash, write_provenance
from skyreel.models import load_model
from skyreel.simulate.run import whole_number
from skyreel.verbs.control_movies import TrainingMovies, control_objects, training_movies
from skyreel.verbs.movies_in import movies_in, scored_movies
from skyreel.verbs.presenting import data_notes, present
from skyreel.verbs.scoring import THE_MODEL, protocols_of, score_controls, score_protocols, summary, without_lengths
from skyreel.verbs.terminal import console

PROTOCOL_NOTES = {
    "label_blind": "every object's window holds the first image on which it rises above its own past by 5 sigma (the "
    "middle of the sequence where none does), and its length is drawn from one distribution for all; no label is used",
    "paper": "movies with an alert start five images before it, all others at their first usable image (section 4)",
    "length_matched_first": "as paper, and all others keep as many of their first images as some supernova has",
    "length_matched_last": "as matched, first, but with their last images",
}


def run(config: Any, run_dir: Path) -> float:
    """Scores ``model`` after every number of images and returns the mean recall of the headline.

    Movies are cut by ``protocol`` (the headline) and by those of ``also``; the argmax runs over all classes that the model
    knows. With ``controls``, classifiers that see one cheap thing only are trained beside it, on the first
    ``control_objects`` movies per class of the model's own training, and scored on the same objects.

    Left in `run_dir`: metrics.json, outcomes.parquet, exhibits.npz, report.html.

    Raises
    ------
    ConfigError
        Without ``model``, with both or neither of ``input`` and ``dataset``, for an unknown protocol, and for options out
        of range.
    DataError
        If the model knows no label of the movies.
    """
    if not config.model:
        raise ConfigError("model", "not given", "name the folder of a finished run, for example model=runs/train/...")
    protocols, number = protocols_of(config), control_objects(config)
    protocol_seed, prevalence = whole_number(config, "protocol_seed"), prevalence_of(config)
    classifier = load_model(str(config.model))
    scored = scored_movies(movies_in(config), classifier.classes)
    protocols = without_lengths(protocols, scored.store)
    _check_prevalence(prevalence, np.unique(scored.store.label).tolist())
    write_provenance(run_dir, config)
    outcomes = score_protocols(
        classifier, scored.store, protocols, data=scored.name, seed=protocol_seed, group=scored.group, bright=scored.bright
    )
    training = None
    if config.controls:
        training = training_movies(config, classifier.classes, number)
        outcomes |= score_controls(training.store, scored.store, outcomes, classifier, protocol_seed=protocol_seed, seed=int(config.seed))
    headline = outcomes[Key(scored.name, protocols[0], THE_MODEL)]
    with console.status("scores and their intervals"):
        metrics = summary(
            outcomes,
            data=scored.name,
            protocols=protocols,
            prevalence=prevalence,
            seed=int(config.seed),
            unscored=unscored(scored.store, headline),
        )
    metrics |= {"data": scored.name, "config_hash": config_hash(config), "dataset": dict(scored.counts), "labels_left_out": scored.strange}
    with console.status("choosing and measuring what the report shows"):
        exhibits = collect_and_write(
            run_dir,
            classifier,
            scored.store,
            headline,
            data=scored.name,
            protocol=protocols[0],
            seed=int(config.seed),
            protocol_seed=protocol_seed,
            simulation=training.simulation if training else None,
            simulated=training.store if training else None,
        )
    present(run_dir, config, metrics, outcomes, exhibits, headline=headline, notes=_notes(metrics, training))
    return float(metrics["mean_recall"])


def prevalence_of(config: Any) -> dict[str, float] | None:
    """The shares of the classes that precision is stated for; None: all are equally frequent.

    Raises
    ------
    ConfigError
        For anything but numbers by class, from 0 on.
    """
    if config.prevalence is None:
        return None
    shares: Any = OmegaConf.to_container(config.prevalence) if OmegaConf.is_config(config.prevalence) else config.prevalence
    if (
        not isinstance(shares, Mapping)
        or not shares
        or not all(isinstance(value, (int, float)) and value >= 0 for value in shares.values())
    ):
        raise ConfigError("prevalence", repr(shares), "give a share for every class: prevalence={supernova:0.01,non_variable:0.99}")
    return {str(name): float(value) for name, value in shares.items()}


def _check_prevalence(prevalence: Mapping[str, float] | None, present: Sequence[str]) -> None:
    """ConfigError where a class that is scored has no share: said before the work and not after it."""
    missing = [name for name in present if prevalence is not None and name not in prevalence]
    if missing:
        raise ConfigError("prevalence", f"no share for {', '.join(missing)}", "give one for every class that is scored, 0 if need be")


def _notes(metrics: Mapping[str, Any], training: TrainingMovies | None) -> list[str]:
    notes = [f"Movies: {metrics['data']}. The headline is the protocol {metrics['protocol']}."]
    notes += [f"{long_name(name)}: {PROTOCOL_NOTES[name]}." for name in metrics["protocols"]]
    notes.append(
        "Errors after ± are binomial; intervals are percentiles of a bootstrap over sky fields. An object with fewer images "
        "than a column asks for counts with its last one."
    )
    if training:
        notes.append(
            "Controls are random forests that see one cheap thing of a movie, trained on simulated movies cut by the same protocol "
            f"({training.note}). One is cleared where the 95 % interval of the difference of mean recall, model less control, lies above 0."
        )
    return [*notes, *data_notes(metrics)]

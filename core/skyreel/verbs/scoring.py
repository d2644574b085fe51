"""Scores of a classifier on a set of movies: table in the terminal, metrics.json and report.html in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from skyreel.errors import DataError
from skyreel.evaluate import figures as draw
from skyreel.evaluate.metrics import score
from skyreel.evaluate.names import long_name
from skyreel.evaluate.report import write_report
from skyreel.evaluate.table import print_scores
from skyreel.files import write_text
from skyreel.hydra_glue import config_hash, provenance
from skyreel.interfaces import Classifier, MovieStore, Predictions
from skyreel.movies import Movies
from skyreel.sequences import alert_window
from skyreel.verbs.subset import Subset
from skyreel.verbs.terminal import console, progress

BATCH = 512
METRICS = "metrics.json"
REPORT = "report.html"


def windowed_predictions(classifier: Classifier, store: MovieStore) -> tuple[Movies, Predictions]:
    """The movies cut to their alert window, and the probabilities after every image of them.

    Supernovae and other alerts start `before_alert` images before the first detection, all others at their first
    usable image; at most `max_images` images are used (section 3.1 of the paper).
    """
    task = classifier.task
    assert task is not None
    parts, out = [], []
    with progress("classifying", len(store)) as tick:
        for start in range(0, len(store), BATCH):
            movies = alert_window(store.take(np.arange(start, min(start + BATCH, len(store)))), task.sequence)
            parts.append(movies)
            out.append(classifier.predict(movies))
            tick(len(movies))
    joined = Movies.concatenate(parts)
    width = joined.frame_mask.shape[1]

    def wide(name: str, fill: Any) -> np.ndarray[Any, Any]:
        arrays = [getattr(item, name) for item in out]
        pads = [[(0, 0), (0, width - a.shape[1]), *[(0, 0)] * (a.ndim - 2)] for a in arrays]
        return np.concatenate([np.pad(a, pad, constant_values=fill) for a, pad in zip(arrays, pads, strict=True)])

    return joined, Predictions(classifier.classes, wide("probabilities", np.nan), wide("mask", False), wide("complete", False))


def known_labels(store: MovieStore, classes: tuple[str, ...]) -> tuple[MovieStore, dict[str, int]]:
    """The movies whose label the classifier knows, and how many of each other label are left out.

    Raises
    ------
    DataError
        If none is left.
    """
    label = np.asarray(store.label)
    known = np.isin(label, classes)
    strange = {str(name): int((label == name).sum()) for name in np.unique(label[~known])}
    if not known.any():
        raise DataError("scoring", f"labels {', '.join(map(repr, strange))}", f"this model knows {', '.join(classes)}")
    if known.all():
        return store, {}
    return Subset(store, np.flatnonzero(known)), strange


def score_and_report(
    classifier: Classifier,
    store: MovieStore,
    run_dir: Path,
    config: Any,
    *,
    data: str,
    counts: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Scores, prints the table, writes metrics.json and report.html and returns the metrics.

    Parameters
    ----------
    data : str
        What the movies are, for titles and metrics.
    counts : mapping, optional
        A data set's tally of objects kept and left out.
    training : mapping, optional
        Figures of the training that made the classifier.
    """
    known, strange = known_labels(store, classifier.classes)
    movies, predictions = windowed_predictions(classifier, known)
    metrics = score(predictions, movies.label)
    metrics |= {"data": data, "config_hash": config_hash(config), "dataset": dict(counts or {}), "labels_left_out": strange}
    if training:
        metrics["training"] = dict(training)
    console.print(f"\nScores on {data}: {metrics['n_objects']} objects, argmax over {len(metrics['classes'])} classes")
    if strange:
        console.print(
            f"Not scored, because the model does not know their labels: {', '.join(f'{n} {name!r}' for name, n in strange.items())}"
        )
    print_scores(metrics, console)
    write_text(run_dir / METRICS, json.dumps(metrics, indent=2))
    report = write_report(
        run_dir / REPORT,
        title=f"skyreel: {data}",
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(config), resolve=True),
        metrics=metrics,
        figures=_figures(movies, predictions, metrics, run_dir),
        provenance=_provenance(config, data, metrics["config_hash"]),
        notes=_notes(data, counts, strange, training),
    )
    console.print(f"report: {report}")
    return metrics


def _provenance(config: Any, data: str, hashed: str) -> dict[str, str]:
    """Rows of the report's last table: every version, plugin and name as a line of text."""
    rows = {"data": data, "model": str(config.model or "trained in this run"), "seed of this run": str(config.seed), "config hash": hashed}
    for name, value in provenance().items():
        rows[name.replace("_", " ")] = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    return rows


def _figures(movies: Movies, predictions: Predictions, metrics: Mapping[str, Any], run_dir: Path) -> dict[str, Figure]:
    out = {
        "Accuracy and mean recall against the number of images": draw.accuracy_figure(metrics),
        "Recall of each class against the number of images": draw.recall_figure(metrics),
        "Confusion": draw.confusion_figure(metrics),
    }
    history = run_dir / "history.json"
    if history.is_file():
        out["Training"] = draw.training_figure(json.loads(history.read_text()))
    for name, row in draw.example_rows(predictions, movies.label).items():
        out[f"A typical object: {long_name(name)}"] = draw.movie_figure(movies, predictions, row)
    return out


def _notes(data: str, counts: Mapping[str, Any] | None, strange: Mapping[str, int], training: Mapping[str, Any] | None) -> list[str]:
    notes = [
        f"Movies: {data}. Those with an alert start five images before it, all others at their first usable image.",
        "Errors are binomial. An object with fewer images than a column asks for counts with its last one.",
    ]
    if counts:
        kept = ", ".join(f"{name} {counts['kept'][name]} of {read}" for name, read in counts["objects"].items())
        why = [f"{name}: {reason} ({k})" for name, reasons in counts["left_out"].items() for reason, k in reasons.items()]
        notes.append(f"Objects used: {kept}. Left out: {'; '.join(why) or 'none'}.")
    if strange:
        notes.append(f"Labels that the model does not know, not scored: {dict(strange)}.")
    if training:
        notes.append(f"Training: {', '.join(f'{key} {value}' for key, value in training.items())}.")
    return notes

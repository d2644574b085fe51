"""A trained model on disk: model.json (options, task, versions) and weights.safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from skyreel.errors import ModelError, SkyreelError
from skyreel.interfaces import Task
from skyreel.preprocessing import SequenceOptions
from skyreel_rcnn.files import read_tensors, sha256, versions, write_json, write_tensors

FORMAT_VERSION = 1
COMPONENT = "rcnn"
WEIGHTS = "weights.safetensors"


def task_to_json(task: Task) -> dict[str, Any]:
    """The task as JSON values."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(task)))
    return values


def task_from_json(values: Mapping[str, Any]) -> Task:
    """The inverse of `task_to_json`."""
    return Task(
        classes=tuple(values["classes"]),
        bands=tuple(values["bands"]),
        stamp_size=int(values["stamp_size"]),
        channels=tuple(values["channels"]),
        pixel_scale=float(values["pixel_scale"]),
        sequence=SequenceOptions(**values["sequence"]),
    )


def write_model(folder: Path, weights: Mapping[str, Tensor], options: Mapping[str, Any], task: Task) -> None:
    """Writes the folder; model.json comes last, so that a half-written folder is told from a model.

    Raises
    ------
    OutputError
        If it cannot be written to.
    """
    digest = write_tensors(folder / WEIGHTS, weights, {"component": COMPONENT, "format_version": FORMAT_VERSION})
    description = {
        "component": COMPONENT,
        "format_version": FORMAT_VERSION,
        "class": "skyreel_rcnn.classifier:RCNN",
        "options": dict(options),
        "task": task_to_json(task),
        "weights": {"file": WEIGHTS, "sha256": digest},
        "versions": versions(),
    }
    write_json(folder / "model.json", description)


def read_model(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], Task]:
    """(weights, options, task) of a model folder.

    Raises
    ------
    ModelError
        If the folder is missing, damaged, of another classifier or of another format version.
    """
    path = folder / "model.json"
    if not path.is_file():
        raise ModelError(f"model {folder}", "no model.json in it", "name the folder that a training has written its model to")
    try:
        description = json.loads(path.read_text())
        component, found = description["component"], description["format_version"]
        written_by = description["versions"]["skyreel"]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ModelError(f"model {folder}", f"model.json cannot be read ({err!r})", "copy the model again or train anew") from err
    if component != COMPONENT:
        raise ModelError(
            f"model {folder}", f"a model of classifier {component!r}, not {COMPONENT!r}", "load it with skyreel.models.load_model"
        )
    if found != FORMAT_VERSION:
        remedy = f"install skyreel {written_by}, which wrote it, or train anew"
        raise ModelError(f"model {folder}", f"format version {found}, this skyreel reads version {FORMAT_VERSION}", remedy)
    try:
        task, options, expected = task_from_json(description["task"]), dict(description["options"]), description["weights"]["sha256"]
    except (ValueError, KeyError, TypeError, SkyreelError) as err:
        raise ModelError(f"model {folder}", f"model.json is damaged ({err!r})", "copy the model again or train anew") from err
    weights = folder / WEIGHTS
    if weights.is_file() and sha256(weights) != expected:
        raise ModelError(f"model {folder}", f"{WEIGHTS} is damaged: its SHA-256 is not the one in model.json", "copy the model again")
    return read_tensors(weights)[0], options, task

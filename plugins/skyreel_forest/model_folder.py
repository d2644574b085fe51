"""A trained forest on disk: model.json (options, task, features, versions) and trees.safetensors. Loading runs no code."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from skyreel.errors import DataError, ModelError, SkyreelError
from skyreel.files import write_bytes
from skyreel.interfaces import Task
from skyreel.preprocessing import SequenceOptions
from skyreel_forest.trees import Trees

FORMAT_VERSION = 1
COMPONENT = "forest"
TREES = "trees.safetensors"
_AGAIN = "copy the model again or train anew"


def write_model(
    folder: Path, trees: Trees, importance: NDArray[np.float64], names: Sequence[str], options: Mapping[str, Any], task: Task
) -> None:
    """Writes the folder; model.json comes last, so that a half-written folder is told from a model.

    Raises
    ------
    OutputError
        If it cannot be written to.
    """
    data = save({name: np.ascontiguousarray(array) for name, array in {**trees.arrays(), "importance": importance}.items()})
    write_bytes(folder / TREES, data)
    description = {
        "component": COMPONENT,
        "format_version": FORMAT_VERSION,
        "class": "skyreel_forest.classifier:Forest",
        "options": dict(options),
        "task": asdict(task),
        "features": list(names),
        "trees": {"file": TREES, "sha256": hashlib.sha256(data).hexdigest(), "link": trees.link},
        "versions": _versions(),
    }
    write_bytes(folder / "model.json", (json.dumps(description, indent=1) + "\n").encode())


def read_model(folder: Path) -> tuple[Trees, NDArray[np.float64], tuple[str, ...], dict[str, Any], Task]:
    """(trees, importance, names of the features, options, task) of a model folder.

    Raises
    ------
    ModelError
        If the folder is missing, damaged, of another classifier or of another format version.
    """
    where = f"model {folder}"
    description = _description(folder)
    try:
        task, options = _task(description["task"]), dict(description["options"])
        names = tuple(map(str, description["features"]))
        expected, link = description["trees"]["sha256"], description["trees"]["link"]
    except (ValueError, KeyError, TypeError, SkyreelError) as err:
        raise ModelError(where, f"model.json is damaged ({err!r})", _AGAIN) from err
    path = folder / TREES
    if not path.is_file():
        raise ModelError(where, f"no {TREES} in it", _AGAIN)
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != expected:
            raise ModelError(where, f"{TREES} is damaged: its SHA-256 is not the one in model.json", "copy the model again")
        arrays = load(data)
        importance = arrays.pop("importance")
        trees = Trees.from_arrays(arrays, link, len(names), len(task.classes))
    except (OSError, SafetensorError, KeyError, ValueError, DataError) as err:
        raise ModelError(where, f"{TREES} cannot be read ({err})", _AGAIN) from err
    if importance.shape != (len(names),):
        raise ModelError(where, f"{TREES} is of another model ({importance.shape} features, not {len(names)})", _AGAIN)
    return trees, importance, names, options, task


def _description(folder: Path) -> dict[str, Any]:
    path = folder / "model.json"
    where = f"model {folder}"
    if not path.is_file():
        raise ModelError(where, "no model.json in it", "name the folder that a training has written its model to")
    try:
        description: dict[str, Any] = json.loads(path.read_text())
        component, found, written_by = description["component"], description["format_version"], description["versions"]["skyreel"]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ModelError(where, f"model.json cannot be read ({err!r})", _AGAIN) from err
    if component != COMPONENT:
        raise ModelError(where, f"a model of classifier {component!r}, not {COMPONENT!r}", "load it with skyreel.models.load_model")
    if found != FORMAT_VERSION:
        remedy = f"install skyreel {written_by}, which wrote it, or train anew"
        raise ModelError(where, f"format version {found}, this skyreel reads version {FORMAT_VERSION}", remedy)
    return description


def _task(values: Mapping[str, Any]) -> Task:
    return Task(
        classes=tuple(values["classes"]),
        bands=tuple(values["bands"]),
        stamp_size=int(values["stamp_size"]),
        channels=tuple(values["channels"]),
        pixel_scale=float(values["pixel_scale"]),
        sequence=SequenceOptions(**values["sequence"]),
    )


def _versions() -> dict[str, str]:
    names = ("skyreel", "numpy", "scikit-learn", "light-curve", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}

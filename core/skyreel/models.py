"""Trained models by path: finds the folder a run left behind and loads it with the plugin that wrote it."""

from __future__ import annotations

import json
from pathlib import Path

from skyreel.errors import ModelError, PluginError
from skyreel.interfaces import Classifier
from skyreel.plugin import plugins

MODEL = "model"
"""Folder of a run that holds the trained classifier."""


def model_folder(path: str | Path) -> Path:
    """The folder that holds model.json: `path` itself or its `model/`.

    Raises
    ------
    ModelError
        If neither holds one.
    """
    root = Path(path)
    for folder in (root, root / MODEL):
        if (folder / "model.json").is_file():
            return folder
    found = "no such folder" if not root.exists() else "no model.json in it or in its model/"
    raise ModelError(f"model {str(path)!r}", found, "name the folder of a finished `skyreel train` run")


def load_model(path: str | Path) -> Classifier:
    """Loads a trained classifier.

    Parameters
    ----------
    path : str or Path
        Run folder or model folder.

    Raises
    ------
    ModelError
        If the folder is missing, damaged or of another version.
    PluginError
        If the plugin that wrote it is not installed.
    """
    folder = model_folder(path)
    try:
        name = json.loads((folder / "model.json").read_text())["component"]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ModelError(f"model {folder}", f"model.json cannot be read ({err})", "train or copy the model again") from err
    try:
        cls = plugins().registry.load("classifier", str(name))
    except PluginError as err:
        raise PluginError(f"model {folder}", str(err), "install the plugin that wrote it") from err
    return cls.load(folder)  # type: ignore[attr-defined, no-any-return]

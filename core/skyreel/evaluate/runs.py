"""Finished runs as a comparison reads them: what was run, with which model, and everything it scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from skyreel.errors import DataError, ModelError
from skyreel.evaluate.exhibits_parts import EXHIBITS, Exhibits, read_exhibits
from skyreel.evaluate.outcomes import OUTCOMES, Key, Outcomes, read_outcomes
from skyreel.hydra_glue import CONFIG, RECORD
from skyreel.models import MODEL, model_folder

METRICS = "metrics.json"
TRAINING = ("survey", "source", "psf", "host", "detector", "simulation", "sequence", "stamp", "classifier", "trainer", "n_objects", "input")
"""Parts of a training's config that make the model, beside the seed."""
_MACHINE = {"classifier": ("device",), "trainer": ("accelerator", "devices", "threads")}
_DRAWS = "draws.json"


@dataclass(frozen=True)
class Origin:
    """Where a run's model comes from.

    Attributes
    ----------
    config : dict
        The training's config, without seed and machine; empty where it is not known.
    seed : int or None
        Of the training.
    identity : str
        The same for models that differ in their seed alone.
    name : str
        The classifier's.
    tuned : bool
        Whether the run scored a model that had been fine-tuned before.
    """

    config: Mapping[str, Any]
    seed: int | None
    identity: str
    name: str
    tuned: bool = False


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes
    ----------
    folder : str
        As the user named it.
    verb : str
        'train', 'evaluate' or 'finetune'.
    config, record, metrics : dict
        config.yaml, run.json and metrics.json.
    config_text : str
        config.yaml as it stands.
    outcomes : dict of Key -> Outcomes
    exhibits : Exhibits or None
    origin : Origin
        Of the model that was trained, scored or fine-tuned.
    """

    folder: str
    verb: str
    config: Mapping[str, Any]
    config_text: str
    record: Mapping[str, Any]
    metrics: Mapping[str, Any]
    outcomes: Mapping[Key, Outcomes]
    exhibits: Exhibits | None
    origin: Origin


def read_run(folder: str) -> Run:
    """Reads what `skyreel train`, `evaluate` or `finetune` left in a folder.

    Raises
    ------
    DataError
        If a file is missing or cannot be read: the message names it.
    """
    path = Path(folder)
    missing = [name for name in (OUTCOMES, METRICS, CONFIG) if not (path / name).is_file()]
    if missing:
        found = f"no {', '.join(missing)} in it" if path.is_dir() else "no such folder"
        raise DataError(f"run {folder}", found, "name the folder of a finished `skyreel train`, `evaluate` or `finetune` run")
    config = _yaml(path / CONFIG)
    record = _json(path / RECORD) if (path / RECORD).is_file() else {}
    exhibits = read_exhibits(path / EXHIBITS) if (path / EXHIBITS).is_file() else None
    verb = _verb(path, config, record)
    origin = _origin(path, verb, config, exhibits)
    text = (path / CONFIG).read_text(encoding="utf-8")
    return Run(folder, verb, config, text, record, _json(path / METRICS), read_outcomes(path / OUTCOMES), exhibits, origin)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config as one level: 'trainer.max_steps' -> 2000."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        out |= flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return out


def _verb(path: Path, config: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    command = record.get("command") or []
    said = str(command[1]) if len(command) > 1 else ""
    if said in ("train", "evaluate", "finetune"):
        return said
    if (path / _DRAWS).is_file():
        return "finetune"
    return "evaluate" if config.get("model") else "train"


def _origin(path: Path, verb: str, config: Mapping[str, Any], exhibits: Exhibits | None) -> Origin:
    if verb == "train":
        return _of_config(config, tuned=False)
    model = str(config.get("model"))
    folder = _found(path, model)
    if folder is None:  # the model has been moved: the run can still be compared, as a model of its own
        name = exhibits.model.lower() if exhibits else Path(model).name
        return Origin({}, None, f"model {model}", name)
    run = folder.parent if folder.name == MODEL else folder
    tuned = (run.parent / _DRAWS).is_file()
    if (run / CONFIG).is_file():
        return _of_config(_yaml(run / CONFIG), tuned=tuned)
    component = str(_json(folder / "model.json").get("component", "model"))
    return Origin({}, None, f"model {folder}", component, tuned)


def _found(path: Path, model: str) -> Path | None:
    """Folder of a run's model: its name counts from here, else from a folder above the run, where the command was started."""
    for start in (Path(), *path.resolve().parents):
        with suppress(ModelError):
            return model_folder(start / model).resolve()
    return None


def _of_config(config: Mapping[str, Any], *, tuned: bool) -> Origin:
    own = {key: config[key] for key in TRAINING if key in config}
    for key, machine in _MACHINE.items():
        if isinstance(own.get(key), Mapping):
            own[key] = {name: value for name, value in own[key].items() if name not in machine}
    text = json.dumps([own, tuned], sort_keys=True, default=str)
    name = str((config.get("classifier") or {}).get("name", "model"))
    seed = config.get("seed")
    return Origin(own, None if seed is None else int(seed), hashlib.sha256(text.encode()).hexdigest(), name, tuned)


def _yaml(path: Path) -> dict[str, Any]:
    try:
        found = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, ValueError, YAMLError) as err:
        raise DataError(f"{path}", f"not readable ({err})", "restore it, or leave the run out") from err
    if not isinstance(found, dict):
        raise DataError(f"{path}", "not a config", "restore it, or leave the run out")
    return {str(key): value for key, value in found.items()}


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise DataError(f"{path}", f"not readable ({err})", "restore it, or leave the run out") from err
    if not isinstance(found, dict):
        raise DataError(f"{path}", "not a mapping", "restore it, or leave the run out")
    return found

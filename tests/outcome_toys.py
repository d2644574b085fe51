"""Finished runs made by hand: folders as train, evaluate and finetune leave them, with known numbers, in milliseconds."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from exhibit_toys import exhibits

from skyreel.evaluate.controls_inputs import CONTROLS
from skyreel.evaluate.exhibits_parts import write_exhibits
from skyreel.evaluate.outcomes import Key, Outcomes, write_outcomes
from skyreel.evaluate.protocols import PROTOCOLS
from skyreel.interfaces import CLASSES

REAL = ("supernova", "rr_lyrae", "eclipsing_binary", "non_variable")
SKY = "the sky"


def toy_outcomes(objects: int = 0, answers: int = 0, skill: float = 0.8, n: int = 80, longest: int = 8, classes=REAL) -> Outcomes:
    """n objects that depend on `objects` alone, and the answers of a model that is right with probability `skill` in the end.

    The answer is a function of (`answers`, object): right from a random image on, or wrong all along. Supernovae have their
    alert at image 6; every second one is bright.
    """
    rng = np.random.default_rng([objects, 1])
    label = np.array([classes[k % len(classes)] for k in range(n)])
    number = rng.integers(6, longest + 1, n)
    mag, field = rng.uniform(17, 23, n), rng.integers(0, 9, n).astype(np.int32)
    own = np.random.default_rng([objects, answers, 2])
    start = np.where(own.random(n) < skill, own.integers(0, 5, n), longest)
    truth = np.array([CLASSES.index(name) for name in label])
    right = np.arange(longest) >= start[:, None]
    guess = np.where(right, truth[:, None], (truth[:, None] + 1 + own.integers(0, 6, (n, 1))) % 7)
    sure = own.uniform(0.4, 0.9, (n, longest))
    chances = np.where(guess[..., None] == np.arange(7), sure[..., None], (1 - sure[..., None]) / 6).astype(np.float32)
    there = np.arange(longest) < number[:, None]
    names = np.array([f"object_{k:03d}" for k in range(n)])
    return Outcomes(
        CLASSES,
        np.where(there[..., None], chances, np.float32(np.nan)),
        np.where(there, 57070.0 + np.arange(longest), np.nan),
        number,
        names,
        names,
        label,
        field,
        np.where(label == "supernova", 6, 0).astype(np.int32),
        mag,
        10 ** (0.4 * (25 - mag)),
        mag < 17.5,
        (label != "supernova") | (np.arange(n) % 8 == 0),
    )


def training_config(classifier: str = "rcnn", seed: int = 0, **options: object) -> dict:
    """Config of a training; `options` are the classifier's."""
    return {
        "survey": {"name": "hits"},
        "classifier": {"name": classifier, "device": "auto", **options},
        "trainer": {"max_steps": 40, "threads": 1},
        "n_objects": 32,
        "seed": seed,
        "model": None,
    }


def write_run(folder: Path, verb: str, config: dict, outcomes: dict[Key, Outcomes], shown: bool = False) -> Path:
    """The files that a comparison reads; run.json holds a command and versions."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    record = {
        "command": ["skyreel", verb, "a=1"],
        "config_hash": "0" * 12,
        "versions": {"skyreel": "0.1.0", "numpy": "2"},
        "git_commit": "abc",
    }
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "metrics.json").write_text(json.dumps({"protocol": "label_blind"}))
    write_outcomes(folder / "outcomes.parquet", outcomes)
    if shown:
        write_exhibits(folder / "exhibits.npz", replace(exhibits(), data=SKY))
    return folder


def train(root: Path, name: str, classifier: str = "rcnn", seed: int = 0, skill: float = 0.95, **options: object) -> Path:
    """A training with its simulated test and training set and a model folder; other seeds have other movies of the same names."""
    folder = root / name
    parts = {
        Key(f"simulated {part}", "paper"): toy_outcomes(100 + seed + 50 * k, seed, skill, classes=CLASSES, n=140)
        for k, part in enumerate(("test", "train"))
    }
    write_run(folder, "train", training_config(classifier, seed, **options), parts)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "model.json").write_text(json.dumps({"component": classifier}))
    return folder


def evaluate(root: Path, name: str, model: Path, skill: float = 0.85, answers: int = 0, shown: bool = False, objects: int = 0) -> Path:
    """A zero-shot run under all protocols; its controls are poor, but for `shuffled_time`, which equals the model."""
    parts = {}
    for k, protocol in enumerate(PROTOCOLS):
        parts[Key(SKY, protocol)] = toy_outcomes(objects, answers, skill - 0.02 * k)
        for number, control in enumerate(CONTROLS):
            same = control == "shuffled_time"
            known = parts[Key(SKY, protocol)] if same else toy_outcomes(objects, 1000 + number, 0.3)
            parts[Key(SKY, protocol, control)] = known
    return write_run(root / name, "evaluate", {"model": str(model), "seed": 0, "protocol": "label_blind"}, parts, shown)


def finetune(root: Path, name: str, model: Path, draws: int = 3, skill: float = 0.95, answers: int = 0) -> Path:
    """A fine-tuning: draw k leaves out objects k, k + 10, ... of the sky, and forgets nothing of the simulated movies."""
    parts = {}
    for draw in range(draws):
        rest = np.arange(80) % 10 != draw
        for k, protocol in enumerate(PROTOCOLS):
            parts[Key(SKY, protocol, "model", draw)] = toy_outcomes(0, answers, 0.85 - 0.02 * k).take(rest)
            parts[Key(SKY, protocol, "fine-tuned", draw)] = toy_outcomes(0, 300 + draw, skill).take(rest)
        before = toy_outcomes(100, 0, 0.95, classes=CLASSES, n=140)
        parts[Key("simulated test", "paper", "model", draw)] = before
        parts[Key("simulated test", "paper", "fine-tuned", draw)] = before
    folder = write_run(root / name, "finetune", {"model": str(model), "seed": 3, "per_class": 10, "draws": draws}, parts)
    (folder / "draws.json").write_text("{}")
    return folder


def toy_runs(root: Path) -> list[Path]:
    """Two seeds of a network, a forest, each with its zero-shot run, and the fine-tuned network."""
    network, again, forest = train(root, "net0"), train(root, "net1", seed=1), train(root, "forest0", "forest", skill=0.8)
    return [
        network,
        again,
        forest,
        evaluate(root, "net0-sky", network, shown=True),
        evaluate(root, "net1-sky", again, answers=1),
        evaluate(root, "forest0-sky", forest, 0.6, answers=2),
        finetune(root, "net0-tuned", network),
    ]

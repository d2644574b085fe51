"""`skyreel finetune`: adapts a model to the real sky with a few labelled objects, several times over, and scores the rest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from skyreel.datasets.draws import Draw
from skyreel.errors import ConfigError, OutputError
from skyreel.evaluate.outcomes import OUTCOMES, Key, Outcomes, write_outcomes
from skyreel.evaluate.protocols import store_lengths
from skyreel.files import write_text
from skyreel.hydra_glue import CONFIG, write_provenance
from skyreel.interfaces import Classifier, TrainerOptions
from skyreel.models import MODEL, load_model
from skyreel.registry import typed
from skyreel.seeding import Seeds
from skyreel.simulate.run import whole_number
from skyreel.verbs.control_movies import control_objects
from skyreel.verbs.evaluate import prevalence_of
from skyreel.verbs.finetune_controls import control_draws
from skyreel.verbs.finetune_data import Labelled, Simulated, drawn_examples, labelled_movies, simulated_movies
from skyreel.verbs.finetune_report import report
from skyreel.verbs.finetune_scores import ALERT_WINDOW, AS_IT_CAME, SIMULATED, TUNED
from skyreel.verbs.scoring import protocols_of, score_protocols, without_lengths
from skyreel.verbs.subset import Subset
from skyreel.verbs.terminal import console

DRAWS = "draws.json"
"""File of a run's folder that names the objects of every draw."""


@dataclass(frozen=True)
class Setting:
    """How objects are scored.

    Attributes
    ----------
    data : Labelled
    protocols : tuple of str
        The headline's first.
    seed : int
        Of the protocols' draws.
    lengths : int array
        Of the data's supernovae, for the length-matched protocols: the same before and after and in every draw.
    simulated : Simulated
    """

    data: Labelled
    protocols: tuple[str, ...]
    seed: int
    lengths: NDArray[np.intp]
    simulated: Simulated

    def outcomes(self, classifier: Classifier, rows: NDArray[np.intp], model: str, draw: int) -> dict[Key, Outcomes]:
        """Outcomes of the labelled movies `rows` under every protocol, and of the simulated ones."""
        data = self.data
        real = score_protocols(
            classifier,
            Subset(data.store, rows),
            self.protocols,
            data=data.name,
            seed=self.seed,
            group=data.group[rows],
            bright=data.bright[rows],
            lengths=self.lengths,
            model=model,
            draw=draw,
        )
        return real | score_protocols(classifier, self.simulated.test, (ALERT_WINDOW,), data=SIMULATED, model=model, draw=draw)


def run(config: Any, run_dir: Path) -> float:
    """Fine-tunes ``model`` on ``per_class`` labelled objects of each class of ``dataset`` or ``input``, ``draws`` times.

    Every draw chooses its objects and starts from the model anew; all movies of the chosen objects leave the set that the
    draw is scored on. No object is spent on early stopping: the state after the last step is kept. Simulated movies are
    mixed in, and scored before and after.

    Left in `run_dir`: draws.json, drawK/model, metrics.json, outcomes.parquet (`Key.model` 'fine-tuned', and 'model' for
    the model as it came on the same objects), report.html.

    Returns
    -------
    float
        Mean recall under ``protocol`` after fine-tuning, mean over the draws; for sweeps.

    Raises
    ------
    ConfigError
        Without ``model``, for a classifier that does not offer fine-tuning, and for options out of range.
    DataError
        If a class has too few labelled objects.
    OutputError
        If the run's folder holds another run.
    Interrupted
        After Ctrl-C; the models of the finished draws stay.
    """
    if not config.model:
        raise ConfigError("model", "not given", "name the folder of a finished run, for example model=runs/train/...")
    if (run_dir / CONFIG).exists():
        raise OutputError(f"a new fine-tuning in {run_dir}", "it holds an earlier run", "choose another folder (hydra.run.dir=...)")
    trainer = typed(TrainerOptions, config.trainer, "trainer")
    protocols, seed = protocols_of(config), whole_number(config, "seed")
    prevalence_of(config)
    control_objects(config)
    classifier = load_fresh(config)
    assert classifier.task is not None
    data = labelled_movies(config, classifier.classes)
    picked = drawn_examples(data, whole_number(config, "per_class", 1), whole_number(config, "draws", 1), seed)
    lengths = store_lengths(data.store, classifier.task.sequence)
    protocols = without_lengths(protocols, data.store)
    setting = Setting(data, protocols, whole_number(config, "protocol_seed"), lengths, simulated_movies(config, classifier))
    write_provenance(run_dir, config)
    write_text(run_dir / DRAWS, json.dumps(chosen_objects(data, picked, seed), indent=2))

    before = setting.outcomes(classifier, np.arange(len(data.label)), AS_IT_CAME, -1)
    outcomes: dict[Key, Outcomes] = {}
    trainings = []
    for k, draw in enumerate(picked):
        console.print(f"\ndraw {k + 1} of {len(picked)}: fine-tuning on {int(draw.chosen.sum())} objects")
        tuned = load_fresh(config)
        trainings.append(fine_tune(tuned, setting, draw, k, run_dir, config, trainer))
        rest = np.flatnonzero(draw.rest)
        for key, part in before.items():
            scored = np.ones(len(part), np.bool_) if key.data == SIMULATED else np.isin(part.object_id, data.object_id[rest])
            outcomes[Key(key.data, key.protocol, AS_IT_CAME, k)] = part.take(scored)
        outcomes |= setting.outcomes(tuned, rest, TUNED, k)
    if config.controls:
        outcomes |= control_draws(setting, picked, outcomes, classifier, config)
    write_outcomes(run_dir / OUTCOMES, outcomes)
    metrics = report(run_dir, config, setting, outcomes, trainings)
    return float(metrics["mean_recall"])


def load_fresh(config: Any) -> Classifier:
    """The model as it came, with the options that ``adapt`` changes.

    Raises
    ------
    ConfigError
        For a classifier that does not offer fine-tuning, or an option that it does not have or that belongs to training.
    """
    classifier = load_model(str(config.model))
    kind = type(classifier)
    if kind.finetune is Classifier.finetune:
        found = f"classifier {kind.__name__} does not offer it"
        raise ConfigError(f"fine-tuning {config.model}", found, "choose a model of another classifier, or write its finetune()")
    changes = dict(config.adapt or {})
    if changes:
        free: Sequence[str] = getattr(kind, "adaptable", ())
        typed(kind, {**asdict(classifier), **changes}, f"adapt: {kind.__name__}")  # type: ignore[call-overload]
        for key, value in changes.items():
            if key not in free:
                remedy = f"options for fine-tuning are {', '.join(free) or 'none'}"
                raise ConfigError(f"adapt.{key}", "it belongs to the training of the model", remedy)
            setattr(classifier, key, value)
    return classifier


def fine_tune(
    classifier: Classifier, setting: Setting, draw: Draw, k: int, run_dir: Path, config: Any, trainer: TrainerOptions
) -> Mapping[str, Any]:
    """Fine-tunes `classifier` on the objects of draw `k`, keeps it in drawK/model, and returns figures of the training."""
    folder = run_dir / f"draw{k}"
    seed = int(Seeds(int(config.seed), "finetune", k).rng("training").integers(2**31))
    real = Subset(setting.data.store, np.flatnonzero(draw.chosen))
    figures = classifier.finetune(real, setting.simulated.replay, folder, trainer=trainer, seed=seed)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # they serve to resume, and a fine-tuning is not resumed
    if config.keep_models:
        classifier.save(folder / MODEL)
        if setting.simulated.config:
            write_text(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(setting.simulated.config), resolve=True))
    return figures


def chosen_objects(data: Labelled, picked: Sequence[Draw], seed: int) -> dict[str, Any]:
    """Content of draws.json: seed, data, and of each draw the names shown to the model, those left out and those scored."""

    def names(rows: NDArray[np.bool_]) -> dict[str, list[str]]:
        classes = sorted(set(data.label[rows].tolist()))
        return {name: sorted(data.object_id[rows & (data.label == name)].tolist()) for name in classes}

    parts = [
        {
            "draw": k,
            "chosen": names(draw.chosen),
            "duplicates_left_out": names(~draw.chosen & ~draw.rest),
            "scored": int(draw.rest.sum()),
        }
        for k, draw in enumerate(picked)
    ]
    return {"data": data.name, "seed": seed, "draws": parts}

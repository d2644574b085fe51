"""Controls beside fine-tuned models: trained on simulated movies and on the same labelled objects, draw by draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skyreel.datasets.draws import Draw
from skyreel.evaluate.controls import control_outcomes, seen_of, train_controls
from skyreel.evaluate.outcomes import Key, Outcomes
from skyreel.interfaces import Classifier
from skyreel.verbs.control_movies import control_objects, training_movies
from skyreel.verbs.finetune_scores import TUNED
from skyreel.verbs.terminal import console, progress

if TYPE_CHECKING:
    from skyreel.verbs.finetune import Setting


def control_draws(
    setting: Setting, picked: Sequence[Draw], outcomes: Mapping[Key, Outcomes], classifier: Classifier, config: Any
) -> dict[Key, Outcomes]:
    """Outcomes of every control under the headline's protocol, draw by draw on the objects that the draw left.

    Each labelled object counts a hundredfold beside ``control_objects`` simulated movies per class, as in the training of
    the paper's random forest.

    Parameters
    ----------
    setting : Setting
    picked : sequence of Draw
    outcomes : mapping of Key -> Outcomes
        Of the fine-tuned models.
    classifier : Classifier
        The model as it came.
    config : mapping
        The run's.
    """
    assert classifier.task is not None
    data, protocol, options = setting.data, setting.protocols[0], classifier.task.sequence
    simulated = training_movies(config, classifier.classes, control_objects(config)).store
    with progress("measuring what the controls see", len(simulated) + len(data.label)) as tick:
        known = seen_of(simulated, protocol, options, seed=setting.seed, tick=tick)
        real = seen_of(data.store, protocol, options, seed=setting.seed, lengths=setting.lengths, tick=tick)
    out: dict[Key, Outcomes] = {}
    with console.status("training controls"):
        for k, draw in enumerate(picked):
            shown = real.named(data.object_id[draw.chosen])
            controls = train_controls(known, classifier.classes, seed=int(config.seed), real=shown)
            like = outcomes[Key(data.name, protocol, TUNED, k)]
            out |= {Key(data.name, protocol, name, k): part for name, part in control_outcomes(controls, real, like).items()}
    return out

"""Scores of a classifier under one or more protocols, and of controls beside it: what verbs share.

Outcomes come first (`score_protocols`, `score_controls`), then numbers (`summary`), then what the user sees
(`skyreel.verbs.presenting`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.evaluate.controls import CONTROLS, Seen, control_outcomes, seen_of, train_controls, verdict
from skyreel.evaluate.metrics import score
from skyreel.evaluate.outcomes import Key, Outcomes
from skyreel.evaluate.predict import outcomes_of
from skyreel.evaluate.protocols import check_protocol, store_lengths
from skyreel.interfaces import Classifier, MovieStore
from skyreel.verbs.terminal import console, progress

THE_MODEL = "model"
"""`Key.model` of the classifier that a run trains or names."""


def protocols_of(config: Any) -> tuple[str, ...]:
    """The protocols that ``protocol`` and ``also`` name, the headline's first, each once.

    Raises
    ------
    ConfigError
        For an unknown name.
    """
    return tuple(dict.fromkeys(check_protocol(str(name)) for name in (config.protocol, *(config.also or []))))


def without_lengths(protocols: Sequence[str], store: MovieStore) -> tuple[str, ...]:
    """The protocols that can be used on these movies: length-matched ones need supernovae, and say so where there are none.

    The headline stays in any case: its error names what is missing.
    """
    if (np.asarray(store.label) == "supernova").any():
        return tuple(protocols)
    kept = tuple(name for k, name in enumerate(protocols) if not k or not name.startswith("length_matched"))
    if len(kept) < len(protocols):
        console.print("Length-matched protocols are left out: they take their lengths from supernovae, and there are none")
    return kept


def score_protocols(
    classifier: Classifier,
    store: MovieStore,
    protocols: Sequence[str],
    *,
    data: str,
    seed: int = 0,
    group: NDArray[np.str_] | None = None,
    bright: NDArray[np.bool_] | None = None,
    lengths: NDArray[np.intp] | None = None,
    model: str = THE_MODEL,
    draw: int = -1,
) -> dict[Key, Outcomes]:
    """What a classifier says of the movies under each protocol, with a progress bar.

    Parameters
    ----------
    classifier : Classifier
    store : MovieStore
        n movies with labels that the classifier knows.
    protocols : sequence of str
    data, model, draw
        See `Key`.
    seed : int
        Of the protocols' draws.
    group, bright, lengths
        See `skyreel.evaluate.predict.outcomes_of`.

    Returns
    -------
    dict of Key -> Outcomes
        In the order of `protocols`.
    """
    out = {}
    with progress("classifying", len(protocols) * len(store)) as tick:
        for protocol in protocols:
            out[Key(data, protocol, model, draw)] = outcomes_of(
                classifier, store, protocol, seed=seed, group=group, bright=bright, lengths=lengths, tick=tick
            )
    return out


def score_controls(
    simulated: MovieStore,
    store: MovieStore,
    outcomes: Mapping[Key, Outcomes],
    classifier: Classifier,
    *,
    protocol_seed: int = 0,
    seed: int = 0,
) -> dict[Key, Outcomes]:
    """What the controls say of the same objects, for every set of outcomes.

    Parameters
    ----------
    simulated : MovieStore
        Movies to train on, cut by the same protocols.
    store : MovieStore
        The movies behind `outcomes`.
    outcomes : mapping of Key -> Outcomes
        Of the model, one for each protocol.
    classifier : Classifier
    protocol_seed : int
        Of the protocols' draws.
    seed : int
        Of the controls' training.

    Returns
    -------
    dict of Key -> Outcomes
        ``Key.model`` is the control's name.
    """
    assert classifier.task is not None
    options, out = classifier.task.sequence, {}
    with progress("training and scoring controls", len(outcomes) * (len(simulated) + len(store))) as tick:
        for key, like in outcomes.items():
            parts: list[Seen] = []
            for movies in (simulated, store):
                lengths = store_lengths(movies, options) if key.protocol.startswith("length_matched") else None
                parts.append(seen_of(movies, key.protocol, options, seed=protocol_seed, lengths=lengths, tick=tick))
            controls = train_controls(parts[0], classifier.classes, seed=seed)
            for name, found in control_outcomes(controls, parts[1], like).items():
                out[Key(key.data, key.protocol, name, key.draw)] = found
    return out


def summary(
    outcomes: Mapping[Key, Outcomes],
    *,
    data: str,
    protocols: Sequence[str],
    prevalence: Mapping[str, float] | None = None,
    seed: int = 0,
    unscored: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Scores of the model under each protocol and, where there are any, of the controls and what they say of the model.

    Parameters
    ----------
    outcomes : mapping of Key -> Outcomes
        Of `THE_MODEL` and of the controls.
    data : str
        `Key.data` of the set.
    protocols : sequence of str
        The headline's first.
    prevalence, seed, unscored
        See `skyreel.evaluate.metrics.score`; `seed` is also that of the intervals of differences.

    Returns
    -------
    dict
        JSON-ready. The headline's scores at the top level (`skyreel.evaluate.metrics.score`), ``protocol`` (its name),
        ``protocols`` (name -> scores), and with controls ``controls`` (protocol -> control -> scores and difference) and
        ``verdict`` (protocol -> ``clears``, ``not_cleared``), see `skyreel.evaluate.controls.verdict`.
    """
    scores = {name: score(outcomes[Key(data, name, THE_MODEL)], prevalence=prevalence, seed=seed, unscored=unscored) for name in protocols}
    found: dict[str, Any] = {**scores[protocols[0]], "protocol": protocols[0], "protocols": scores}
    if not any(key.model in CONTROLS for key in outcomes):
        return found
    found |= {"controls": {}, "verdict": {}}
    for name in protocols:
        controls = {control: outcomes[Key(data, name, control)] for control in CONTROLS}
        judged = verdict(outcomes[Key(data, name, THE_MODEL)], controls, seed=seed)
        found["controls"][name] = judged.pop("controls")
        found["verdict"][name] = judged
    return found

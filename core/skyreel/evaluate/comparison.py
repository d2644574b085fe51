"""Several runs side by side: which of them are seeds or draws of one model, and what can be compared with what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.controls_inputs import CONTROLS
from skyreel.evaluate.outcomes import Outcomes, join_outcomes
from skyreel.evaluate.protocols import PROTOCOLS
from skyreel.evaluate.runs import Run, flat

THE_MODEL, TUNED = "model", "fine-tuned"
"""`Key.model` of a model as it was trained, and of its fine-tuned copies."""
SIMULATED = "simulated test"
"""`Key.data` of simulated movies that a fine-tuning scores."""


@dataclass(frozen=True)
class Part:
    """One seed or draw of an entry.

    Attributes
    ----------
    run : str
        Folder.
    tag : tuple of int
        Seed of the training, seed of the fine-tuning, draw; -1 where there is none. Parts are in this order.
    outcomes : Outcomes
    before : Outcomes or None
        Of the same model before it was fine-tuned, on the same objects.
    controls : dict of str -> Outcomes
        Of the controls that the run trained beside it.
    """

    run: str
    tag: tuple[int, int, int]
    outcomes: Outcomes
    before: Outcomes | None = None
    controls: Mapping[str, Outcomes] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A model on one set under one protocol, with all its seeds or draws.

    Attributes
    ----------
    name : str
        As it is shown: the label, and how many labels per class it was given.
    label : str
        The model's.
    classifier : str
        Component, 'rcnn' or 'forest'.
    per_class : int
        Real objects per class that it was fine-tuned with; 0 without.
    data, protocol : str
    parts : tuple of Part
    """

    name: str
    label: str
    classifier: str
    per_class: int
    data: str
    protocol: str
    parts: tuple[Part, ...]

    @property
    def outcomes(self) -> list[Outcomes]:
        """Of every part."""
        return [part.outcomes for part in self.parts]

    @property
    def of(self) -> str:
        """What several parts are: 'draws' or 'seeds'."""
        return "draws" if self.per_class else "seeds"


@dataclass(frozen=True)
class Comparison:
    """Everything that a report of several runs shows.

    Attributes
    ----------
    runs : tuple of Run
    labels : tuple of str
        Of each run's model.
    entries : tuple of Entry
        Real sets first; models in the order of the runs, each without real labels before it is with them.
    simulated : tuple of str
        Names of the simulated sets.
    """

    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    entries: tuple[Entry, ...]
    simulated: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all entries, each once."""
        return tuple(dict.fromkeys(entry.name for entry in self.entries))

    @property
    def real(self) -> tuple[str, ...]:
        """Names of the other sets."""
        return tuple(dict.fromkeys(entry.data for entry in self.entries if entry.data not in self.simulated))

    def protocols(self, data: str) -> tuple[str, ...]:
        """Protocols under which a set was scored: the project's order, then others."""
        used = {entry.protocol for entry in self.entries if entry.data == data}
        return tuple(name for name in (*PROTOCOLS, *sorted(used - set(PROTOCOLS))) if name in used)

    def of(self, data: str, protocol: str, *, tuned: bool | None = None) -> list[Entry]:
        """Entries of one set and protocol; `tuned` chooses those with or without real labels."""
        chosen = [entry for entry in self.entries if (entry.data, entry.protocol) == (data, protocol)]
        return chosen if tuned is None else [entry for entry in chosen if bool(entry.per_class) == tuned]


def compare_runs(runs: Sequence[Run], names: Mapping[str, str] | None = None) -> Comparison:
    """Sorts the outcomes of all runs by model, set and protocol.

    Runs whose models differ in nothing but the seed of their training are seeds of one model.

    Parameters
    ----------
    runs : sequence of Run
    names : mapping of str -> str, or None
        Folder of a run -> label of its model, given to all seeds of that model. Runs with the same label are put together.

    Raises
    ------
    ConfigError
        If a run or name is given twice or does not fit.
    DataError
        If one seed or draw occurs twice, or a set of the same name holds other objects in another run.
    """
    if not runs:
        raise ConfigError("comparing runs", "no run", "name the folders of one or more finished runs")
    twice = [run.folder for k, run in enumerate(runs) if run.folder in [other.folder for other in runs[:k]]]
    if twice:
        raise ConfigError(f"run {twice[0]}", "given twice", "name every run once")
    labels = label_runs(runs, names or {})
    entries: dict[tuple[str, int, str, str], list[Part]] = {}
    classifiers: dict[str, str] = {}
    for run, label in zip(runs, labels, strict=True):
        classifiers.setdefault(label, run.origin.name)
        for (per_class, data, protocol), part in _parts(run):
            entries.setdefault((label, per_class, data, protocol), []).append(part)
    for (label, data, protocol), parts in _before(entries).items():
        entries.setdefault((label, 0, data, protocol), parts)
    order = {label: k for k, label in enumerate(dict.fromkeys(labels))}
    made = [
        Entry(_name(label, k), label, classifiers[label], k, data, protocol, _sorted(label, parts))
        for (label, k, data, protocol), parts in entries.items()
    ]
    simulated = tuple(dict.fromkeys([*(key.data for run in runs if run.verb == "train" for key in run.outcomes), SIMULATED]))
    made.sort(key=lambda entry: (entry.data in simulated, order[entry.label], entry.per_class))
    found = Comparison(tuple(runs), tuple(labels), tuple(made), simulated)
    _check_objects(found)
    return found


def label_runs(runs: Sequence[Run], names: Mapping[str, str]) -> list[str]:
    """The label of every run's model: the given one, else the classifier's name and what sets it apart from others.

    Raises
    ------
    ConfigError
        For a name of no run, an empty one, or two names for seeds of one model of which others have none.
    """
    strange = [folder for folder in names if folder not in [run.folder for run in runs]]
    if strange:
        remedy = f"names belong to {', '.join(run.folder for run in runs)}, as they are written there"
        raise ConfigError(f"--name {strange[0]}={names[strange[0]]}", "no such run among those compared", remedy)
    given: dict[str, dict[str, str]] = {}
    for run in runs:
        if run.folder in names:
            given.setdefault(run.origin.identity, {})[names[run.folder]] = run.folder
    own = _own_names([run for run in runs if run.origin.identity not in given])
    labels = []
    for run in runs:
        known = given.get(run.origin.identity, {})
        label = names.get(run.folder) or (next(iter(known)) if len(known) == 1 else own.get(run.origin.identity))
        if label is None:
            raise ConfigError(f"run {run.folder}", f"its model goes by {' and '.join(known)}", f"give it one: --name {run.folder}=LABEL")
        labels.append(label)
    return labels


def matched(a: Entry, b: Entry) -> tuple[list[Outcomes], list[Outcomes]]:
    """Parts of two entries that can be compared object by object: one by one in order, a single one with all others.

    Parts on other movies under the same names (simulated ones of another seed) are left out; both lists may be empty.
    """
    left, right = a.outcomes, b.outcomes
    if len(left) == 1 or len(right) == 1:
        number = max(len(left), len(right))
        left, right = left * (number // len(left)), right * (number // len(right))
    pairs = [(x, y) for x, y in zip(left, right, strict=False) if same_movies(x, y) is None]
    return [x for x, _ in pairs], [y for _, y in pairs]


def same_movies(a: Outcomes, b: Outcomes) -> str | None:
    """None where objects of the same name are the same ones in both, else what is wrong."""
    _, rows, others = np.intersect1d(a.object_id, b.object_id, return_indices=True)
    if not rows.size:
        return "no object in common"
    for what in ("label", "field"):
        differ = np.flatnonzero(getattr(a, what)[rows] != getattr(b, what)[others])
        if differ.size:
            k = differ[0]
            values = (str(getattr(a, what)[rows[k]]), str(getattr(b, what)[others[k]]))
            return f"object {str(a.object_id[rows[k]])!r} has {what} {values[0]} in one and {values[1]} in the other"
    return None


def _name(label: str, per_class: int) -> str:
    return f"{label} + {per_class} per class" if per_class else label


def _parts(run: Run) -> Iterable[tuple[tuple[int, str, str], Part]]:
    """Models of a run with what belongs to each: its state before, and its controls."""
    tuned_by = int(run.config.get("per_class") or 0)
    seed = -1 if run.origin.seed is None else run.origin.seed
    strange = sorted({key.model for key in run.outcomes} - {THE_MODEL, TUNED, *CONTROLS})
    if strange:
        raise DataError(f"run {run.folder}", f"outcomes of {', '.join(strange)}", f"known are {THE_MODEL}, {TUNED} and the controls")
    for key, outcomes in run.outcomes.items():
        tuned = key.model == TUNED
        if not tuned and (key.model != THE_MODEL or key.draw >= 0):
            continue
        place = (key.data, key.protocol, key.draw)
        beside = {other.model: part for other, part in run.outcomes.items() if (other.data, other.protocol, other.draw) == place}
        controls = {name: beside[name] for name in CONTROLS if name in beside}
        tag = (seed, int(run.config.get("seed") or 0) if tuned else -1, key.draw)
        part = Part(run.folder, tag, outcomes, beside.get(THE_MODEL) if tuned else None, controls)
        yield (tuned_by if tuned else 0, key.data, key.protocol), part


def _before(entries: Mapping[tuple[str, int, str, str], list[Part]]) -> dict[tuple[str, str, str], list[Part]]:
    """Models that were scored before their fine-tuning alone: all objects that some draw left, each once."""
    out: dict[tuple[str, str, str], list[Part]] = {}
    for (label, per_class, data, protocol), parts in entries.items():
        if not per_class:
            continue
        seeds: dict[int, Part] = {}
        for part in parts:
            if part.before is not None:
                known = [seeds[part.tag[0]].outcomes] if part.tag[0] in seeds else []
                seeds[part.tag[0]] = Part(part.run, (part.tag[0], -1, -1), _union([*known, part.before]))
        if seeds:
            out.setdefault((label, data, protocol), list(seeds.values()))
    return out


def _union(parts: list[Outcomes]) -> Outcomes:
    joined = join_outcomes(parts)
    return joined.take(np.sort(np.unique(joined.object_id, return_index=True)[1]))


def _sorted(label: str, parts: list[Part]) -> tuple[Part, ...]:
    parts = sorted(parts, key=lambda part: part.tag)
    for one, other in pairwise(parts):
        if one.tag == other.tag and one.run != other.run:
            found = f"{one.run} and {other.run} hold the same seed of model {label}"
            raise DataError("comparing runs", found, f"leave one out, or tell them apart: --name {other.run}=LABEL")
    return tuple(parts)


def _check_objects(found: Comparison) -> None:
    for data in found.real:
        for protocol in found.protocols(data):
            parts = [part for entry in found.of(data, protocol) for part in entry.parts]
            for part in parts[1:]:
                wrong = same_movies(parts[0].outcomes, part.outcomes)
                if wrong:
                    asked = f"comparing {parts[0].run} and {part.run} on {data}, protocol {protocol}"
                    raise DataError(asked, wrong, "score both on the same objects, or compare them apart")


def _own_names(runs: Sequence[Run]) -> dict[str, str]:
    """Identity -> name of a classifier; where several go by it, with the options in which they differ."""
    kinds: dict[str, dict[str, Run]] = {}
    for run in {run.origin.identity: run for run in reversed(runs)}.values():
        kinds.setdefault(f"{run.origin.name}, fine-tuned" if run.origin.tuned else run.origin.name, {}).setdefault(run.origin.identity, run)
    out = {}
    for name, group in kinds.items():
        options = {identity: flat(run.origin.config) for identity, run in group.items()}
        keys = sorted({key for found in options.values() for key in found})
        differ = [key for key in keys if len({repr(found.get(key)) for found in options.values()}) > 1]
        for number, identity in enumerate(group):
            label = name
            if len(group) > 1 and 0 < len(differ) <= 2:
                label += f" ({', '.join(f'{key} {_short(options[identity].get(key))}' for key in differ)})"
            elif len(group) > 1:
                label += f" {number + 1}"
            out[identity] = label
    return out


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."

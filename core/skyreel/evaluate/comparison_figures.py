"""Which figures a comparison shows, under which names, in which section."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from skyreel.evaluate.comparison import Comparison, Entry
from skyreel.evaluate.cost import costs
from skyreel.evaluate.exhibits_parts import Exhibits
from skyreel.evaluate.figures_calibration import purity_figure, reliability_figure
from skyreel.evaluate.figures_confusion import confusion_matrices
from skyreel.evaluate.figures_cost import cost_figure
from skyreel.evaluate.figures_embedding import PERPLEXITY, embedding_figure
from skyreel.evaluate.figures_magnitude import magnitude_and_recall
from skyreel.evaluate.figures_objects import failure_gallery, object_figure, twin_figure
from skyreel.evaluate.figures_recall import recall_overview
from skyreel.evaluate.figures_style import Drawing
from skyreel.evaluate.figures_time import accuracy_over_samples, recall_over_samples
from skyreel.evaluate.names import long_name
from skyreel.evaluate.outcomes import Outcomes

SIDE_BY_SIDE = 2
"""Confusion matrices in one figure."""


@dataclass(frozen=True)
class Shot:
    """A figure that is not drawn yet.

    Attributes
    ----------
    slug : str
        Name of its files.
    section : str
        Of the page.
    alt : str
        What a reader who does not see it must know that there is.
    draw : callable () -> Drawing
    """

    slug: str
    section: str
    alt: str
    draw: Callable[[], Drawing]


def shots(found: Comparison, numbers: Mapping[str, Any]) -> list[Shot]:
    """All figures of a comparison, the most important ones first."""
    return [
        *_overviews(found, numbers),
        *_over_images(found),
        *_confusions(found),
        *_calibration(found),
        *_embedding(found),
        *_objects(found),
        *_cost(found),
    ]


def _overviews(found: Comparison, numbers: Mapping[str, Any]) -> Iterator[Shot]:
    for data in found.real:
        scored = [entry for entry in numbers["entries"] if entry["data"] == data]
        alt = f"Mean recall of every model and its controls on {data}, by protocol, with intervals"
        yield Shot(f"overview_{_slug(data)}", "headline", alt, partial(recall_overview, scored, data))


def _over_images(found: Comparison) -> Iterator[Shot]:
    train, test = (_simulated(found, end) for end in (" train", " test"))
    if test:
        alt = "Accuracy on simulated movies against the number of images, training and test set"
        yield Shot("fig05_accuracy_simulated", "images", alt, partial(accuracy_over_samples, train, test))
    for data in found.real:
        for protocol in found.protocols(data):
            without, with_labels = (_runs(found.of(data, protocol, tuned=tuned), by_label=True) for tuned in (False, True))
            where = f"{data}, protocol {long_name(protocol)}"
            alt = f"Mean recall on {where} against the number of images, without and with real labels"
            slug = f"fig06_mean_recall_{_slug(data, protocol)}"
            yield Shot(slug, "images", alt, partial(recall_over_samples, without, with_labels, where))
        for protocol in _shown(found, data):
            where = f"{data}, protocol {long_name(protocol)}"
            best = _runs(_best(found.of(data, protocol)), by_label=True)
            alt = f"Accuracy by magnitude and number of images on simulated movies; recall of each class over images on {where}"
            yield Shot(
                f"fig07_magnitude_{_slug(data, protocol)}",
                "images",
                alt,
                partial(magnitude_and_recall, test, best, where),
            )


def _confusions(found: Comparison) -> Iterator[Shot]:
    sets = [(data, protocol) for data in found.simulated if data.endswith(" test") for protocol in found.protocols(data)]
    sets += [(data, protocol) for data in found.real for protocol in _shown(found, data)]
    for data, protocol in sets:
        for tuned, number, text in ((False, "08_11", "no real labels"), (True, "12_13", "with real labels")):
            entries = found.of(data, protocol, tuned=tuned)
            for start in range(0, len(entries), SIDE_BY_SIDE):
                part = entries[start : start + SIDE_BY_SIDE]
                where = f"{data}, protocol {long_name(protocol)}, {text}"
                alt = f"Confusion matrices of {' and '.join(entry.name for entry in part)} on {where}"
                yield Shot(
                    f"fig{number}_confusion_{_slug(data, protocol)}_{start // SIDE_BY_SIDE + 1}",
                    "confusion",
                    alt,
                    partial(confusion_matrices, _runs(part), where, of=part[0].of),
                )


def _calibration(found: Comparison) -> Iterator[Shot]:
    for data in found.real:
        for protocol in _shown(found, data):
            models = {_single(entry): entry.outcomes[0] for entry in found.of(data, protocol)}
            where = f"{data}, protocol {long_name(protocol)}"
            alt = f"Reliability diagram of {', '.join(models)} on {where}"
            yield Shot(f"calibration_{_slug(data, protocol)}", "calibration", alt, partial(reliability_figure, models, where))
            if all(_has_supernovae(part) for part in models.values()):
                alt = f"Precision of class supernova against its share of the stream and the threshold, on {where}"
                yield Shot(f"purity_{_slug(data, protocol)}", "calibration", alt, partial(purity_figure, models, where))


def _embedding(found: Comparison) -> Iterator[Shot]:
    for data, _, exhibits in _exhibited(found):
        if len(exhibits.curves) > PERPLEXITY and not exhibits.curves.real.all():
            alt = f"t-SNE of simulated and real light curves of {data} in three panels"
            yield Shot(f"fig14_embedding_{_slug(data)}", "sky", alt, partial(embedding_figure, exhibits.curves, data))
            break
    for _, _, exhibits in _exhibited(found):
        if len(exhibits.twins):
            for row in range(len(exhibits.twins)):
                alt = f"The star {exhibits.twins.object_id[row]} and its simulated twin, image by image"
                yield Shot(f"appendix_a_{row + 1}", "sky", alt, partial(twin_figure, exhibits.twins, row))
            break


def _objects(found: Comparison) -> Iterator[Shot]:
    for data, label, exhibits in _exhibited(found):
        own = _slug(label, data)
        for place, row in enumerate(exhibits.shown.rows("supernova")):
            alt = f"Supernova {exhibits.shown.object_id[row]}: light curve, probabilities of {label}, stamps"
            yield Shot(f"appendix_b_{own}_{place + 1}", "objects", alt, partial(object_figure, exhibits, int(row)))
        if len(exhibits.shown.rows("failure")):
            alt = f"The most confident errors of {label} on {data}: stamps, light curves, probabilities"
            yield Shot(f"failures_{own}", "objects", alt, partial(failure_gallery, exhibits))


def _cost(found: Comparison) -> Iterator[Shot]:
    timed = costs(found)
    if timed:
        yield Shot("cost", "cost", "Time for a classification, by model", partial(cost_figure, timed))


def _exhibited(found: Comparison) -> list[tuple[str, str, Exhibits]]:
    """Data, label and exhibits of real sets, one of each model and set."""
    out: dict[tuple[str, str], Exhibits] = {}
    for run, label in zip(found.runs, found.labels, strict=True):
        if run.exhibits and run.exhibits.data in found.real:
            out.setdefault((run.exhibits.data, label), run.exhibits)
    return [(data, label, exhibits) for (data, label), exhibits in out.items()]


def _runs(entries: Sequence[Entry], *, by_label: bool = False) -> dict[str, list[Outcomes]]:
    return {(entry.label if by_label else entry.name): entry.outcomes for entry in entries}


def _simulated(found: Comparison, end: str) -> dict[str, list[Outcomes]]:
    """Models without real labels on their simulated sets of this kind."""
    sets = [data for data in found.simulated if data.endswith(end)]
    out: dict[str, list[Outcomes]] = {}
    for data in sets:
        for protocol in found.protocols(data):
            for entry in found.of(data, protocol, tuned=False):
                out.setdefault(entry.label, entry.outcomes)
    return out


def _best(entries: Sequence[Entry]) -> list[Entry]:
    """Of every model the entry with most real labels: figure 7 of the paper shows those after fine-tuning."""
    last = {entry.label: entry for entry in entries}
    return list(last.values())


def _shown(found: Comparison, data: str) -> list[str]:
    """Protocols that get a figure of each kind: the primary one and the paper's, else the first."""
    known = found.protocols(data)
    return [name for name in known if name in ("label_blind", "paper")] or list(known[:1])


def _single(entry: Entry) -> str:
    """Name of the part that stands for an entry where only one can be drawn."""
    return f"{entry.name}, {entry.of[:-1]} 1 of {len(entry.parts)}" if len(entry.parts) > 1 else entry.name


def _has_supernovae(outcomes: Outcomes) -> bool:
    chosen = outcomes.label == "supernova"
    return bool(chosen.any() and not chosen.all() and np.isin("supernova", outcomes.classes))


def _slug(*words: str) -> str:
    return "".join(sign if sign.isalnum() else "_" for sign in "_".join(words).lower()).strip("_")

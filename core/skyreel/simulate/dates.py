"""Which exposures a movie holds: seeing cut, first alert, the images before it (section 3.1 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import BandError, SimulationError
from skyreel.exposures import Exposures
from skyreel.interfaces import Array, LightCurve, Params, Source, Survey
from skyreel.seeding import Seeds
from skyreel.simulate.options import SimulationOptions


@dataclass(frozen=True)
class Dates:
    """The reported exposures of n objects, cut to their window.

    Attributes
    ----------
    exposures : Exposures
    first_detection : int32 (n,)
        Frame of the first alert, -1 without one.
    params : Params or None
        Parameters of the objects that raised the alerts.
    """

    exposures: Exposures
    first_detection: NDArray[np.int32]
    params: Params | None


@dataclass(frozen=True)
class WindowRule:
    """Images kept before the first alert, and in all (N_d of the paper)."""

    before_alert: int = 5
    max_images: int = 22


def usable_exposures(survey: Survey, n: int, seeds: Seeds) -> Exposures:
    """Exposures of n objects after the survey's seeing cut, moved to the front."""
    exposures = survey.sample(n, seeds)
    if survey.max_seeing is None:
        return exposures.compact(exposures.mask)
    return exposures.compact(exposures.seeing < survey.max_seeing)


def source_bands(source: Source, label: str, exposures: Exposures) -> NDArray[np.int8]:
    """`exposures.band` as indices into the source's own bands.

    Raises
    ------
    BandError
        If an exposure was taken in a band the source does not know.
    """
    table = np.array([source.bands.index(band) if band in source.bands else -1 for band in exposures.bands], np.int8)
    index = table[exposures.band]
    if (index[exposures.mask] < 0).any():
        unknown = sorted({exposures.bands[b] for b in np.unique(exposures.band[exposures.mask]) if table[b] < 0})
        raise BandError(
            f"source {label!r} in bands {', '.join(unknown)}",
            f"it knows {', '.join(source.bands)}",
            "restrict the survey's bands or leave the class out",
        )
    return np.maximum(index, 0).astype(np.int8)


def observe(source: Source, label: str, params: Params, exposures: Exposures) -> LightCurve:
    """The source's light curve in the middle of each exposure; SimulationError where it returns NaN or a wrong shape."""
    curve = source.light_curve(params, exposures.mid_mjd, source_bands(source, label, exposures))
    if np.shape(curve.mag) != exposures.shape:
        raise SimulationError(f"source {label!r}", f"light_curve gave shape {np.shape(curve.mag)}", f"it must be {exposures.shape}")
    if np.isnan(curve.mag[exposures.mask]).any():
        raise SimulationError(f"source {label!r}", "light_curve gave NaN magnitudes", "use +inf where there is no light")
    return curve


def time_window(exposures: Exposures) -> Array:
    """First and last mid-exposure (n, 2) [d] of each object."""
    mid = exposures.mid_mjd
    first = np.where(exposures.mask, mid, np.inf).min(axis=1)
    last = np.where(exposures.mask, mid, -np.inf).max(axis=1)
    return np.stack([first, last], axis=1)


def alerted(survey: Survey, source: Source, label: str, n: int, seeds: Seeds, rule: WindowRule, options: SimulationOptions) -> Dates:
    """n objects of a triggering class that raise an alert, with their dates.

    Proposals come in rounds of counter seeds until n are accepted, as many as the rounds before let expect: the result depends on
    `seeds` alone.

    Raises
    ------
    SimulationError
        If hardly any proposal is ever detected.
    """
    kept: list[tuple[Exposures, Params, NDArray[np.intp]]] = []
    have = proposed = 0
    for attempt in range(options.max_rounds):
        round_seeds = seeds.child(f"round{attempt}")
        proposals = _proposals(n, have, proposed)
        proposed += proposals
        exposures = usable_exposures(survey, proposals, round_seeds)
        rng = round_seeds.rng("params")
        params = source.sample(proposals, rng, window=time_window(exposures))
        mag = observe(source, label, params, exposures).mag
        visible = source.select(params, np.where(exposures.mask, mag, np.inf), rng)
        alerts = survey.detect(exposures, mag) & exposures.mask
        first = np.argmax(alerts, axis=1)
        start = np.maximum(first - rule.before_alert, 0)
        images = exposures.mask.sum(axis=1) - start
        accepted = np.nonzero(visible & alerts.any(axis=1) & (images >= options.min_images))[0]
        accepted = accepted[: n - have]
        kept.append((exposures.take(accepted), {k: v[accepted] for k, v in params.items()}, first[accepted]))
        have += len(accepted)
        if have == n:
            break
    else:
        raise SimulationError(
            f"{n} detected objects of class {label!r}",
            f"{have} after {proposed} proposals",
            "make the class brighter or nearer, check the survey's depth, or raise simulation.max_rounds",
        )
    exposures = Exposures.concatenate([part for part, _, _ in kept])
    params = {name: np.concatenate([p[name] for _, p, _ in kept]) for name in kept[0][1]}
    first = np.concatenate([f for _, _, f in kept])
    start = np.maximum(first - _images_before(n, seeds, rule, options), 0)
    return Dates(exposures.window(start, rule.max_images), (first - start).astype(np.int32), params)


def _proposals(n: int, have: int, proposed: int) -> int:
    """Objects to propose next, when `have` of n were accepted out of `proposed`: a third to begin with, 8 n at most."""
    if proposed == 0:
        return 3 * n
    return min(max(int(1.2 * (n - have) * (proposed + 2) / (have + 1)), 8), 8 * n)


def _images_before(n: int, seeds: Seeds, rule: WindowRule, options: SimulationOptions) -> NDArray[np.intp]:
    """Images (n,) kept before the first alert; never so many that the alert itself would be cut off."""
    rng = seeds.rng("window")
    early = rng.random(n) < 0.5
    extra = np.where(early, rng.integers(0, options.extra_before + 1, n), 0)
    return np.asarray(np.minimum(rule.before_alert + extra, rule.max_images - 1), np.intp)


def borrowed(survey: Survey, triggers: Mapping[str, Source], n: int, seeds: Seeds, rule: WindowRule, options: SimulationOptions) -> Dates:
    """Dates for n objects of a class without alerts: those of detected objects of the triggering classes, in equal parts.

    Without any triggering class, or with ``simulation.window=false``, the sequence starts at the first exposure.
    """
    if not triggers or not options.window:
        exposures = usable_exposures(survey, n, seeds)
        width = rule.max_images if options.window else exposures.shape[1]
        return Dates(exposures.window(np.zeros(n, np.intp), width), np.full(n, -1, np.int32), None)
    share = np.array_split(np.arange(n), len(triggers))
    parts = [
        alerted(survey, source, label, len(part), seeds.child(f"dates/{label}"), rule, options).exposures
        for part, (label, source) in zip(share, triggers.items(), strict=True)
        if len(part)
    ]
    order = seeds.rng("dates").permutation(n)
    return Dates(Exposures.concatenate(parts).take(order), np.full(n, -1, np.int32), None)

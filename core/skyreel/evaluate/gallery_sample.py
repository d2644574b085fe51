"""What the gallery draws of a class before any image is made: brightness, conditions, parameters, galaxies; which objects it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.exposures import Exposures
from skyreel.interfaces import Array, HostPolicy, Params
from skyreel.movies import Movies
from skyreel.seeding import BLOCK, Seeds
from skyreel.simulate.chain import Simulation
from skyreel.simulate.dates import usable_exposures
from skyreel.simulate.scene import Scene

SPLIT = "gallery"
"""Name of the set: it shares no object with those that models are trained on."""
CLEAR = (40.0, 400.0)
"""Signal to noise of the best frame of an object that shows what it is: above the noise, below saturation."""


@dataclass(frozen=True)
class Sample:
    """n objects of one class at T epochs.

    Attributes
    ----------
    label : str
        Class.
    triggers : bool
        Whether it raises alerts.
    exposures : Exposures, (n, T)
        The true conditions.
    mag : (n, T), mag
        Noiseless, of the source alone; NaN where it gives no light and in frames that do not exist.
    params : Params
        Of the sources.
    host : bool (n,)
        Whether a galaxy lies in the stamp.
    host_mag : (n, B), mag
        Of that galaxy in the survey's bands; NaN without one.
    host_distance : (n,), arcsec
        From the galaxy's centre to the source's nominal position; NaN without one.
    policy : HostPolicy
        How often and where a galaxy lies.
    host_params : Params
        Of all drawn galaxies, also of those that are in no stamp.
    """

    label: str
    triggers: bool
    exposures: Exposures
    mag: Array
    params: Params
    host: NDArray[np.bool_]
    host_mag: Array
    host_distance: Array
    policy: HostPolicy
    host_params: Params

    def __len__(self) -> int:
        return len(self.mag)

    @property
    def shines(self) -> bool:
        """Whether any of them gives light of its own."""
        return bool(np.isfinite(self.mag).any())

    def brightness(self, band: int) -> Array:
        """One magnitude (n,) per object in a band: the brightest of a class that raises alerts, the median of others; of a
        class without light of its own the galaxy's. NaN where there is none.
        """
        if not self.shines:
            return np.asarray(self.host_mag[:, band])
        inside = np.where(self.exposures.band == band, self.mag, np.nan)
        seen = np.isfinite(inside).any(axis=1)
        out = np.full(len(self), np.nan)
        out[seen] = (np.nanmin if self.triggers else np.nanmedian)(inside[seen], axis=1)
        return out

    def peak_to_peak(self, band: int) -> Array:
        """Largest difference (n,) of the noiseless magnitudes within the movie in a band [mag]; NaN below two frames with light."""
        inside = np.where(self.exposures.band == band, self.mag, np.nan)
        twice = np.isfinite(inside).sum(axis=1) > 1
        out = np.full(len(self), np.nan)
        out[twice] = np.nanmax(inside[twice], axis=1) - np.nanmin(inside[twice], axis=1)
        return out

    def gaps(self) -> Array:
        """Pauses between two images of an object, all of them in one row [d]."""
        return gaps(self.exposures)


def gaps(exposures: Exposures) -> Array:
    """Pauses (m,) between two successive exposures of an object [d]; of exposures that are masked at the end alone."""
    both = exposures.mask[:, 1:] & exposures.mask[:, :-1]
    return np.asarray(np.diff(exposures.mjd, axis=1)[both])


def sample(simulation: Simulation, label: str, n: int, tick: Callable[[int], Any] | None = None) -> Sample:
    """The first `n` objects of a class in the gallery's set, rounded up to whole blocks; a function of seed and config alone."""
    scenes = []
    for number in range(-(-n // BLOCK)):
        scenes.append(simulation.scene(SPLIT, label, number))
        if tick:
            tick(1)
    return Sample(
        label=label,
        triggers=simulation.sources[label].triggers,
        exposures=Exposures.concatenate([scene.true for scene in scenes]),
        mag=_joined([_magnitudes(scene) for scene in scenes]),
        params=_rows([scene.params for scene in scenes]),
        host=np.concatenate([scene.hosts.present for scene in scenes]),
        host_mag=np.concatenate([np.where(scene.hosts.present[:, None], scene.hosts.mag, np.nan) for scene in scenes]),
        host_distance=np.concatenate([_distances(scene) for scene in scenes]),
        policy=simulation.sources[label].host_policy,
        host_params=_rows([scene.hosts.params for scene in scenes]),
    )


def survey_exposures(simulation: Simulation, n: int) -> Exposures:
    """All usable exposures of n random positions of the survey, as reported."""
    return usable_exposures(simulation.survey, n, Seeds(simulation.seed, f"{SPLIT}/survey"))


def common_band(exposures: Exposures) -> int:
    """Index of the band of most exposures."""
    return int(np.bincount(exposures.band[exposures.mask], minlength=len(exposures.bands)).argmax())


def signal_to_noise(found: Sample) -> Array:
    """Of every frame (n, T), from magnitude and 5-sigma limit; of a class without light of its own its galaxy's. 0 without light."""
    exposures = found.exposures
    mag = found.mag
    if not found.shines:
        mag = np.where(exposures.mask, np.take_along_axis(found.host_mag, exposures.band.astype(np.intp), axis=1), np.nan)
    return np.asarray(np.nan_to_num(5 * 10 ** (-0.4 * (mag - exposures.limiting_mag)), nan=0.0, posinf=0.0))


def contrast(found: Sample) -> Array:
    """Share (n,) of an object's largest flux by which it varies: 0 for a constant, 1 where some frame has no light."""
    light = np.where(np.isfinite(found.mag), 10 ** (-0.4 * (found.mag - 25)), 0)
    high = light.max(axis=1)
    low = np.where(found.exposures.mask, light, np.inf).min(axis=1)
    return np.asarray(np.divide(high - low, high, out=np.zeros(len(high)), where=high > 0))


def chosen(found: Sample, number: int, pick: str) -> NDArray[np.intp]:
    """Which of the first 64 objects are shown.

    Parameters
    ----------
    found : Sample
    number : int
    pick : 'clear' or 'first'
        clear: of the objects that have at least as many frames as half of them, a galaxy if more than a third of the class
        shall have one (and none if not), and in their best frame a signal to noise within `CLEAR` (the nearest to it where there
        are too few), those at the quantiles (k + 1/2) / number of `contrast`. first: the first ones.

    Returns
    -------
    int (number,)
        In order of `contrast`; for 'first' as they come.
    """
    if pick == "first":
        return np.arange(number)
    frames = found.exposures.mask[:BLOCK].sum(axis=1)
    low, high = np.log(CLEAR)
    signal = np.log(np.maximum(signal_to_noise(found)[:BLOCK].max(axis=1), 1e-3))
    strange = (frames < np.median(frames)) | (found.host[:BLOCK] != (found.policy.fraction > 1 / 3))
    outside = np.maximum(low - signal, 0) + np.maximum(signal - high, 0) + 100.0 * strange
    order = np.argsort(outside, kind="stable")
    eligible = order[: max(number, int((outside == 0).sum()))]
    ranked = eligible[np.argsort(contrast(found)[eligible], kind="stable")]
    return np.asarray(ranked[((np.arange(number) + 0.5) / number * len(ranked)).astype(np.intp)])


def shown_movies(
    simulation: Simulation, samples: Mapping[str, Sample], per_class: int, pick: str
) -> dict[str, tuple[Movies, NDArray[np.intp]]]:
    """Label -> movies that are shown, with their images, and their rows in the class's sample."""
    out = {}
    for label, found in samples.items():
        rows = chosen(found, per_class, pick)
        out[label] = (simulation.block(SPLIT, label, 0).take(rows), rows)
    return out


def _magnitudes(scene: Scene) -> Array:
    true = scene.true
    lit = true.mask & (scene.flux > 0)
    rate = np.divide(scene.flux, true.exptime, out=np.ones(true.shape), where=lit)
    return np.asarray(np.where(lit, true.zero_point - 2.5 * np.log10(rate), np.nan))


def _distances(scene: Scene) -> Array:
    return np.asarray(np.where(scene.hosts.present, np.linalg.norm(scene.hosts.centre, axis=1), np.nan))


def _joined(parts: list[Array]) -> Array:
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=np.nan) for part in parts])


def _rows(parts: list[Params]) -> Params:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

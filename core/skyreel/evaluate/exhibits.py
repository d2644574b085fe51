"""Chooses and measures what the figures of single objects show: examples, failures, twins, features, cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skyreel import features
from skyreel.datasets.draws import draw
from skyreel.errors import DataError
from skyreel.evaluate.exhibits_parts import EXHIBITS, FEATURES, Cost, Curves, Exhibits, Shown, Twins, read_exhibits, write_exhibits
from skyreel.evaluate.outcomes import Outcomes
from skyreel.evaluate.protocols import cut, store_lengths
from skyreel.interfaces import Classifier, MovieStore
from skyreel.light_curves import measure
from skyreel.movies import Movies
from skyreel.photometry import psf_flux
from skyreel.preprocessing import UNUSABLE, SequenceOptions
from skyreel.simulate.chain import Simulation
from skyreel.simulate.twins import twin

__all__ = [
    "EXHIBITS",
    "FEATURES",
    "Cost",
    "Curves",
    "Exhibits",
    "Shown",
    "Twins",
    "choose",
    "collect",
    "collect_and_write",
    "read_exhibits",
    "write_exhibits",
]

QUARTILES = (0.25, 0.5, 0.75)
N_FAILURES, FAILURES_PER_CLASS = 9, 3
N_SIMULATED, N_REAL = 2000, 5000
"""Light curves of figure 14: as many simulated ones as in the paper; real ones at most."""
PER_CLASS = 10
"""Real light curves per class in the augmented set of the paper."""
N_TIMED, REPEATS, BATCH = 64, 3, 512
STAR = "non_variable"


def collect_and_write(
    path: Path,
    classifier: Classifier,
    movies: MovieStore,
    outcomes: Outcomes,
    *,
    data: str,
    protocol: str,
    seed: int = 0,
    protocol_seed: int = 0,
    simulation: Simulation | None = None,
    simulated: MovieStore | None = None,
    labelled: Sequence[str] | None = None,
) -> Exhibits:
    """`collect`, and writes the result to `path`: a run's folder (as `EXHIBITS`) or a file name that ends in .npz.

    Parameters and errors are those of `collect`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    exhibits = collect(
        classifier,
        movies,
        outcomes,
        data=data,
        protocol=protocol,
        seed=seed,
        protocol_seed=protocol_seed,
        simulation=simulation,
        simulated=simulated,
        labelled=labelled,
    )
    write_exhibits(path if path.suffix == ".npz" else path / EXHIBITS, exhibits)
    return exhibits


def collect(
    classifier: Classifier,
    movies: MovieStore,
    outcomes: Outcomes,
    *,
    data: str,
    protocol: str,
    seed: int = 0,
    protocol_seed: int = 0,
    simulation: Simulation | None = None,
    simulated: MovieStore | None = None,
    labelled: Sequence[str] | None = None,
) -> Exhibits:
    """Chooses the objects, cuts their movies again, measures light curves and features, simulates twins, takes times.

    Parameters
    ----------
    classifier : Classifier
        Trained or loaded; it is asked again only for the time it takes.
    movies : MovieStore
        The movies that were scored, before any cut; objects are found by their name.
    outcomes : Outcomes
        Of this classifier on these movies; objects may be missing or in another order.
    data, protocol : str
        The key under which the outcomes were made.
    seed : int
        Chooses light curves and labelled examples of figure 14.
    protocol_seed : int
        The seed of the cut that made the outcomes.
    simulation : Simulation or None
        Renders the twins; None (or no class `non_variable`): no twins.
    simulated : MovieStore or None
        Simulated movies for figure 14, of which `N_SIMULATED` are taken; None: only the real ones.
    labelled : sequence of str or None
        Names of the real objects of the augmented set; None draws `PER_CLASS` per class (`skyreel.datasets.draws`), or
        as many as the smallest class has.

    Returns
    -------
    Exhibits
        All but `cost` is a function of the arguments.

    Raises
    ------
    DataError
        If an object is not among the movies, or its cut differs from that of the outcomes.
    """
    task = classifier.task
    if task is None:
        raise DataError("exhibits", "a classifier that is neither trained nor loaded", "call fit() or load() first")
    store = _Window(movies, outcomes, protocol, protocol_seed, task.sequence)
    return Exhibits(
        model=type(classifier).__name__,
        data=data,
        protocol=protocol,
        classes=outcomes.classes,
        shown=_shown(store),
        twins=_twins(store, simulation),
        curves=_curves(store, simulated, labelled, seed),
        cost=_cost(classifier, store),
    )


def choose(outcomes: Outcomes) -> dict[str, NDArray[np.intp]]:
    """Which objects are shown, and why, by rules that leave nothing to taste.

    Parameters
    ----------
    outcomes : Outcomes

    Returns
    -------
    dict of str -> int array
        'supernova': those at the quartiles of the final probability of their class. 'failure': wrong after the last
        image, the highest probability of a wrong class first, at most `FAILURES_PER_CLASS` of a true class and
        `N_FAILURES` in all. 'typical': of each other class the one with the median final probability of its own class.
    """
    last, truth = outcomes.last(), outcomes.truth
    own, top = last[np.arange(len(last)), truth], last.max(axis=1)
    wrong = last.argmax(axis=1) != truth
    failures: list[int] = []
    for row in np.lexsort((outcomes.object_id, -top)):
        if wrong[row] and (truth[failures] == truth[row]).sum() < FAILURES_PER_CLASS and len(failures) < N_FAILURES:
            failures.append(int(row))
    supernovae = _at(own, outcomes, "supernova", QUARTILES)
    typical = [_at(own, outcomes, name, (0.5,)) for name in outcomes.classes if name != "supernova"]
    return {"supernova": supernovae, "failure": np.array(failures, np.intp), "typical": np.concatenate([np.zeros(0, np.intp), *typical])}


def _at(value: NDArray[np.floating], outcomes: Outcomes, label: str, quantiles: Sequence[float]) -> NDArray[np.intp]:
    """Objects of a class at these quantiles of `value`, each at most once; ties go by name."""
    order = np.lexsort((outcomes.object_id, value))
    members = order[(outcomes.label[order] == label) & np.isfinite(value[order])]
    if not len(members):
        return np.zeros(0, np.intp)
    places = np.round(np.array(quantiles) * (len(members) - 1)).astype(np.intp)
    return np.asarray(members[np.unique(places)], np.intp)


class _Window:
    """The scored movies as they were cut, by row of the outcomes."""

    def __init__(self, movies: MovieStore, outcomes: Outcomes, protocol: str, seed: int, options: SequenceOptions) -> None:
        self.movies, self.outcomes, self.protocol, self.seed, self.options = movies, outcomes, protocol, seed, options
        self.lengths = store_lengths(movies, options) if protocol.startswith("length_matched") else None
        names = _names(movies)
        order = np.argsort(names, kind="stable")
        place = np.minimum(np.searchsorted(names[order], outcomes.object_id), len(names) - 1)
        self._row = order[place]
        missing = outcomes.object_id[names[self._row] != outcomes.object_id]
        if len(missing):
            raise DataError(f"exhibits: object {str(missing[0])!r}", "not among the movies", "hand in the movies that were scored")

    def cut(self, movies: Movies) -> Movies:
        """Any movies under the same protocol."""
        return cut(movies, self.protocol, self.options, seed=self.seed, lengths=self.lengths)

    def take(self, rows: NDArray[np.intp]) -> Movies:
        """Their frames in order, padded at the end."""
        cut_again = self.cut(self.movies.take(self._row[rows]))
        found, wanted = cut_again.frame_mask.sum(axis=1), self.outcomes.n_images[rows]
        if (found != wanted).any():
            bad = int(np.argmax(found != wanted))
            raise DataError(
                f"exhibits: object {str(cut_again.object_id[bad])!r} under protocol {self.protocol!r}",
                f"{found[bad]} images, {wanted[bad]} were scored",
                "hand in the protocol and seed that made the outcomes",
            )
        return cut_again


def _names(movies: MovieStore) -> NDArray[np.str_]:
    if hasattr(movies, "object_id"):
        return np.asarray(movies.object_id)
    parts = [movies.take(np.arange(k, min(k + BATCH, len(movies)))).object_id for k in range(0, len(movies), BATCH)]
    return np.concatenate(parts)


def _shown(store: _Window) -> Shown:
    chosen = choose(store.outcomes)
    rows = np.concatenate(list(chosen.values()))
    window, outcomes = store.take(rows), store.outcomes.take(rows)
    curve = measure(window)
    width = window.frame_mask.shape[1]
    probabilities = np.full((len(rows), width, len(outcomes.classes)), np.nan, np.float32)
    used = min(width, outcomes.probabilities.shape[1])
    probabilities[:, :used] = outcomes.probabilities[:, :used]
    return Shown(
        why=np.repeat(np.array(list(chosen)), [len(part) for part in chosen.values()]),
        object_id=outcomes.object_id,
        label=outcomes.label,
        alert=outcomes.alert,
        mjd=np.where(window.frame_mask, window.reported.mid_mjd, np.nan),
        stamps=_stamps(window),
        flux=np.where(curve.mask, curve.flux, np.nan).astype(np.float32),
        error=np.where(curve.mask, curve.error, np.nan).astype(np.float32),
        probabilities=probabilities,
    )


def _stamps(movies: Movies) -> NDArray[np.float32]:
    """First channel less the reported sky; NaN where there is nothing to see."""
    bad = ((movies.pixel_mask[:, :, 0] & UNUSABLE) != 0) | ~movies.frame_mask[:, :, None, None]
    counts = movies.pixels[:, :, 0].astype(np.float32) - movies.reported.sky[:, :, None, None]
    return np.where(bad, np.float32(np.nan), np.round(counts, 1))  # a tenth of a count is below any noise, and packs well


def _twins(store: _Window, simulation: Simulation | None) -> Twins:
    rows = _at(store.outcomes.mag, store.outcomes, STAR, QUARTILES)
    if simulation is None or STAR not in simulation.sources or not len(rows):
        size = store.movies.take(np.array([0])).stamp_size
        empty = np.zeros((0, 1, size, size), np.float32)
        return Twins(np.zeros(0, "U1"), np.zeros(0), np.zeros((0, 1)), empty, empty)
    window = store.take(rows)
    mag = store.outcomes.mag[rows]
    made = [
        twin(simulation, window.reported.take([k]).replace(mask=window.frame_mask[[k]]), STAR, float(mag[k]), name=str(name))
        for k, name in enumerate(window.object_id)
    ]
    joined = Movies.concatenate(made).pad(window.frame_mask.shape[1])
    mjd = np.where(window.frame_mask, window.reported.mid_mjd, np.nan)
    return Twins(window.object_id, mag, mjd, _stamps(window), _stamps(joined))


def _curves(store: _Window, simulated: MovieStore | None, labelled: Sequence[str] | None, seed: int) -> Curves:
    outcomes = store.outcomes
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(outcomes))[:N_REAL])
    values = [_features(store.take(part)) for part in np.array_split(rows, -(-len(rows) // BATCH))]
    label = [outcomes.label[rows]]
    chosen = [_labelled(outcomes.take(rows), labelled, seed)]
    if simulated is not None:
        picked = np.sort(rng.permutation(len(simulated))[:N_SIMULATED])
        for part in np.array_split(picked, -(-len(picked) // BATCH)):
            values.append(_features(store.cut(simulated.take(part))))
        label.append(np.asarray(simulated.label)[picked])
    real = np.arange(sum(map(len, label))) < len(rows)
    chosen.append(np.zeros(len(real) - len(rows), np.bool_))
    return Curves(np.concatenate(values), np.concatenate(label), real, np.concatenate(chosen))


def _features(movies: Movies) -> NDArray[np.float64]:
    curve = measure(movies)
    return features.compute(curve.mjd, curve.flux, curve.error, curve.mask, names=FEATURES)


def _labelled(outcomes: Outcomes, names: Sequence[str] | None, seed: int) -> NDArray[np.bool_]:
    if names is not None:
        return np.isin(outcomes.object_id, list(names))
    groups = [len(np.unique(outcomes.group[outcomes.label == name])) for name in np.unique(outcomes.label)]
    return draw(outcomes.label, outcomes.group, min(PER_CLASS, *groups), seed, object_id=outcomes.object_id).chosen


def _cost(classifier: Classifier, store: _Window) -> Cost:
    """Best of several repeats: what else the machine does only adds time."""
    rows = np.unique(np.linspace(0, len(store.outcomes) - 1, N_TIMED).astype(np.intp))
    window = store.take(rows)
    usable = window.frame_mask
    exposures = window.reported

    def photometry() -> None:
        columns = (getattr(exposures, name)[usable] for name in ("psf_fwhm", "sky", "gain", "read_noise"))
        psf_flux(window.pixels[usable][:, 0], *columns)

    seconds = {}
    for name, work in (("model", lambda: classifier.predict(window)), ("yardstick", photometry)):
        taken = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
        seconds[name] = min(taken)
    return Cost(len(rows), int(usable.sum()), seconds["model"], seconds["yardstick"])

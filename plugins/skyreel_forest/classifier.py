"""The light-curve forest as a skyreel classifier."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError, DataError, ModelError
from skyreel.exposures import Exposures
from skyreel.files import write_text
from skyreel.interfaces import Classifier, MovieStore, PixelBits, Predictions, Task, TrainerOptions
from skyreel.light_curves import PhotometryOptions
from skyreel.movies import Movies
from skyreel.seeding import Seeds
from skyreel.task_inputs import fitted, training_window
from skyreel_forest.growing import ESTIMATORS, Growth, grow
from skyreel_forest.model_folder import read_model, write_model
from skyreel_forest.rows import SETS, feature_names, feature_rows
from skyreel_forest.track import Track, empty_track, measured, n_columns
from skyreel_forest.training import Grown, Table, best_of_grid, figures, interruptible, progress, remembered, table
from skyreel_forest.trees import Trees

PREDICT_BATCH = 256
"""Objects classified at once: bounds memory."""
GRID = "grid.json"
"""File of a training's folder with every combination tried."""


@dataclass
class Forest(Classifier):
    """Random forest or boosted trees on features of the light curve (Carrasco-Davis et al. 2018, section 3.3).

    Every usable image gives one point by optimal photometry (`skyreel.light_curves.measure`, each image by itself), and
    the features are recomputed for every new point. The defaults are the paper's forest: 25 trees of depth 15 on FATS
    features. Simulated and real movies are measured alike; the paper measures simulated ones with their true PSF, host
    and sky. In several bands the features of every band stand side by side.

    Parameters
    ----------
    estimator : 'random_forest' or 'gradient_boosting'
    n_estimators : int
        Trees; with boosting, rounds of one tree per class.
    max_depth : int
        Of a tree.
    min_samples_leaf : int
        Rows in a leaf.
    max_features : float
        Share of the features tried at every split; 0: their square root (random forest), all (boosting).
    learning_rate : float
        Of boosting.
    max_leaf_nodes : int
        Of a boosted tree.
    balanced : bool
        Weigh the classes so that all count the same.
    grid_n_estimators, grid_max_depth : list of int
        Values tried on the simulated validation set (lowest log loss over all lengths) in place of `n_estimators` and
        `max_depth`; empty: no grid.
    features : 'fats' or 'extended'
        The features of the paper, or these and the ones of `skyreel.features.EXTENDED`.
    image_features : bool
        Add extended light, size and shape from the images (`images.IMAGE_FEATURES`). Not in the paper.
    lengths : int
        Shorter lengths of every training movie that are trained on beside the whole, uniform from 1 to all of its
        images, so that early probabilities are right; 0: whole movies only.
    copies : int
        Fine-tuning: copies of every real movie beside the simulated ones (the paper: 100).
    profile, beta, width, sky, centre, iterations, error_floor
        See `skyreel.photometry.PhotometryOptions`; the centre is the stamp's 'middle' (as the network has
        it) or fitted to every 'frame'.
    n_jobs : int
        Threads of the training. The forest is the same for any number.

    Raises
    ------
    ConfigError
        For options out of range.
    """

    estimator: str = "random_forest"
    n_estimators: int = 25
    max_depth: int = 15
    min_samples_leaf: int = 1
    max_features: float = 0.0
    learning_rate: float = 0.1
    max_leaf_nodes: int = 15
    balanced: bool = True
    grid_n_estimators: list[int] = field(default_factory=list)
    grid_max_depth: list[int] = field(default_factory=list)
    features: str = "fats"
    image_features: bool = False
    lengths: int = 2
    copies: int = 100
    profile: str = "moffat"
    beta: float = 4.0
    width: str = "fitted"
    sky: str = "border"
    centre: str = "middle"
    iterations: int = 2
    error_floor: float = 0.02
    n_jobs: int = 1

    adaptable: ClassVar[tuple[str, ...]] = ("copies", "balanced", "n_estimators", "max_depth", "min_samples_leaf", "max_features", "n_jobs")
    """Options that a fine-tuning may change."""

    def __post_init__(self) -> None:
        known = {"estimator": ESTIMATORS, "features": tuple(SETS), "centre": ("middle", "frame")}
        for name, words in known.items():
            if getattr(self, name) not in words:
                raise ConfigError(f"classifier.{name}", repr(getattr(self, name)), f"use one of {', '.join(words)}")
        for name in ("n_estimators", "max_depth", "min_samples_leaf", "copies", "n_jobs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"classifier.{name}", str(getattr(self, name)), "it must be at least 1")
        for name in ("grid_n_estimators", "grid_max_depth"):
            if min(getattr(self, name), default=1) < 1:
                raise ConfigError(f"classifier.{name}", str(getattr(self, name)), "use whole numbers from 1 on")
        if self.max_leaf_nodes < 2:
            raise ConfigError("classifier.max_leaf_nodes", str(self.max_leaf_nodes), "it must be at least 2")
        if self.lengths < 0:
            raise ConfigError("classifier.lengths", str(self.lengths), "it must be 0 or more")
        if not 0 <= self.max_features <= 1:
            raise ConfigError("classifier.max_features", str(self.max_features), "it must lie in [0, 1]")
        if not self.learning_rate > 0:
            raise ConfigError("classifier.learning_rate", str(self.learning_rate), "it must be positive")
        self._photometry()
        self._trees: Trees | None = None
        self._importance = np.zeros(0)

    def _photometry(self) -> PhotometryOptions:
        names = ("profile", "beta", "width", "sky", "centre", "iterations", "error_floor")
        return PhotometryOptions(host="none", **{name: getattr(self, name) for name in names})

    # ------------------------------------------------------------------------------------------- training

    def fit(
        self,
        train: MovieStore,
        valid: MovieStore,
        run_dir: Path,
        *,
        task: Task,
        trainer: TrainerOptions,
        seed: int = 0,
        resume: bool = False,
    ) -> Mapping[str, Any]:
        """Measures, computes features, tries the grid and keeps the best trees (see `interfaces.Classifier.fit`).

        Of `trainer` only `valid_max` and `progress` apply. ``resume=True`` begins anew: minutes, and the same forest.

        Returns
        -------
        dict
            step (trees or rounds), seconds, valid_loss, valid_accuracy (after all images), valid_loss_all_lengths, trees,
            nodes, max_depth, features, rows. With a grid, ``run_dir/grid.json`` holds every combination.

        Raises
        ------
        DataError
            Where a class has no movie.
        Interrupted
            After Ctrl-C.
        """
        started = time.perf_counter()
        _all_classes(train, task)
        held = np.sort(Seeds(seed, "forest/fit").rng("validation").permutation(len(valid))[: trainer.valid_max])
        with interruptible("training a forest"):
            rows = self._table(train, task, trainer.progress, "measuring simulated movies")
            checks = self._table(_Part(valid, held), task, trainer.progress, "measuring validation movies")
            numbers, depths = (self.grid_n_estimators or [self.n_estimators]), (self.grid_max_depth or [self.max_depth])
            best, tried = best_of_grid(rows, checks, len(task.classes), self._growth(), numbers, depths, _state(seed, "fit"))
        if len(tried) > 1:
            write_text(Path(run_dir) / GRID, json.dumps(tried, indent=1) + "\n")
        self._use(task, best)
        return figures(best, len(rows.label), time.perf_counter() - started)

    def finetune(
        self, movies: MovieStore, replay: MovieStore | None, run_dir: Path, *, trainer: TrainerOptions, seed: int = 0
    ) -> Mapping[str, Any]:
        """Grows the trees again on the paper's augmented set (section 3.4): simulated movies and `copies` of real ones.

        Parameters
        ----------
        movies : MovieStore
            Labelled; classes of the task, not necessarily all.
        replay : MovieStore
            Simulated movies of all classes: a training set of the size that `fit` had.
        run_dir : Path
        trainer : TrainerOptions
            Only `progress` applies.
        seed : int

        Returns
        -------
        dict
            As `fit`, without validation.

        Raises
        ------
        DataError
            Without `replay`, where it lacks a class, or for labels that are no class of this model.
        Interrupted
            After Ctrl-C.
        """
        task, started = self._task(), time.perf_counter()
        if replay is None:
            raise DataError("fine-tuning a forest", "no simulated movies", "hand in the training set as replay: the trees grow anew")
        _all_classes(replay, task)
        with interruptible("fine-tuning a forest"):
            real = self._table(movies, task, trainer.progress, "measuring real movies")
            simulated = remembered(
                replay, self._table_key(task), lambda: self._table(replay, task, trainer.progress, "measuring simulated movies")
            )
            both = Table.joined([simulated, real.repeated(self.copies)])
            trees, importance = grow(both.rows, both.label, len(task.classes), self._growth(), _state(seed, "finetune"))
        grown = Grown(trees, self._growth(), importance, {})
        self._use(task, grown)
        return figures(grown, len(both.label), time.perf_counter() - started)

    def _growth(self) -> Growth:
        return Growth(
            **{name: getattr(self, name) for name in ("estimator", "n_estimators", "max_depth", "min_samples_leaf", "max_features")},
            **{name: getattr(self, name) for name in ("learning_rate", "max_leaf_nodes", "balanced", "n_jobs")},
        )

    def _table_key(self, task: Task) -> str:
        """Everything that a table depends on beside the movies."""
        return repr((task, self._photometry(), self.features, self.image_features, self.lengths))

    def _table(self, store: MovieStore, task: Task, shown: bool, text: str) -> Table:
        def read(index: Any) -> tuple[NDArray[np.str_], Track]:
            movies = training_window(store.take(index), task)
            return movies.object_id, measured(movies, self._photometry(), self.image_features)

        with progress(text, len(store), shown) as tick:
            return table(store, task.classes, read, self._rows_of(task), lengths=self.lengths, threads=self.n_jobs, tick=tick)

    def _rows_of(self, task: Task) -> Callable[[Track, NDArray[np.intp], NDArray[np.intp]], NDArray[np.float32]]:
        return lambda track, row, number: feature_rows(track, row, number, self.features, self.image_features, task.bands)

    def _use(self, task: Task, grown: Grown) -> None:
        self.task, self._trees, self._importance = task, grown.trees, grown.importance
        self.n_estimators, self.max_depth = grown.growth.n_estimators, grown.growth.max_depth

    def _grown_trees(self) -> Trees:
        self._task()
        assert self._trees is not None
        return self._trees

    @property
    def importance(self) -> dict[str, float]:
        """Share of each feature in what the splits gained, by name, the largest first."""
        names = feature_names(self.features, self.image_features, self._task().bands)
        order = np.argsort(-self._importance, kind="stable")
        return {names[k]: float(self._importance[k]) for k in order}

    # ------------------------------------------------------------------------------------------ inference

    def predict(self, movies: Movies) -> Predictions:
        """Probabilities after every usable image, the features recomputed for each (see `interfaces.Classifier.predict`).

        `complete` is True from the ``n_stacked``-th usable image on, as for the network.
        """
        task = self._task()
        movies = fitted(movies, task)
        probabilities = np.full((*movies.frame_mask.shape, len(task.classes)), np.nan, np.float32)
        for start in range(0, len(movies), PREDICT_BATCH):
            part = movies.take(slice(start, start + PREDICT_BATCH))
            track = measured(part, self._photometry(), self.image_features)
            row, epoch = np.nonzero(part.frame_mask)
            number = np.cumsum(part.frame_mask, axis=1, dtype=np.intp)[row, epoch]
            probabilities[start + row, epoch] = self._probabilities(track, row, number)
        complete = movies.frame_mask & (np.cumsum(movies.frame_mask, axis=1) >= task.sequence.n_stacked)
        return Predictions(task.classes, probabilities, movies.frame_mask.copy(), complete)

    def _probabilities(self, track: Track, row: NDArray[np.intp], number: NDArray[np.intp]) -> NDArray[np.float32]:
        return self._grown_trees().probabilities(self._rows_of(self._task())(track, row, number))

    def initial_state(self, n: int) -> Track:
        """State of n objects before their first image: a light curve without points."""
        self._task()
        return empty_track(n, n_columns(self.image_features))

    def step(self, state: Track, frame: NDArray[np.float32], exposure: Exposures) -> tuple[NDArray[np.float32], Track]:
        """One more image of each object (see `interfaces.Classifier.step`); NaN marks pixels without data.

        Earlier pixels are not needed; the features are computed from the whole light curve so far.
        """
        task = self._task()
        if exposure.shape != (len(state), 1) or frame.ndim != 4 or len(frame) != len(state):
            found = f"frames {np.shape(frame)}, exposures {exposure.shape}"
            raise DataError("one image at a time", found, f"the state holds {len(state)} objects: hand in one image of each")
        out = np.full((len(state), len(task.classes)), np.nan, np.float32)
        rows = np.flatnonzero(exposure.mask[:, 0])
        if not len(rows):
            return out, state
        track = measured(fitted(_one_frame(frame[rows], exposure.take(rows)), task), self._photometry(), self.image_features)
        state = state.appended(track, rows)
        out[rows] = self._probabilities(state, rows, state.count[rows].astype(np.intp))
        return out, state

    def state_to_bytes(self, state: Track) -> bytes:
        """The state as safetensors behind their SHA-256."""
        return state.to_bytes()

    def state_from_bytes(self, data: bytes) -> Track:
        """The inverse of `state_to_bytes`; ModelError for damaged bytes."""
        return Track.from_bytes(data, n_columns(self.image_features))

    # ---------------------------------------------------------------------------------------------- disk

    def save(self, folder: Path) -> None:
        """Writes model.json and trees.safetensors; OutputError where that fails."""
        task = self._task()
        names = feature_names(self.features, self.image_features, task.bands)
        write_model(Path(folder), self._grown_trees(), self._importance, names, asdict(self), task)

    @classmethod
    def load(cls, folder: Path) -> Forest:
        """Reads what `save` wrote; ModelError for a missing, damaged or foreign folder. Runs no code from it."""
        trees, importance, names, options, task = read_model(Path(folder))
        try:
            model = cls(**options)
        except (TypeError, ConfigError) as err:
            raise ModelError(f"model {folder}", f"options of another version ({err})", "train anew") from err
        if names != feature_names(model.features, model.image_features, task.bands):
            raise ModelError(f"model {folder}", "features of another version of skyreel", "install the one that wrote it or train anew")
        model.task, model._trees, model._importance = task, trees, importance
        return model


@dataclass(frozen=True)
class _Part:
    """Some movies of a store."""

    store: MovieStore
    rows: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def label(self) -> NDArray[np.str_]:
        """Class of every movie."""
        return np.asarray(self.store.label)[self.rows]

    def take(self, objects: Any) -> Movies:
        """The movies with these indices."""
        return self.store.take(self.rows[objects])


def _all_classes(store: MovieStore, task: Task) -> None:
    missing = set(task.classes) - set(map(str, np.unique(store.label)))
    if missing:
        raise DataError("training", f"no movie of {', '.join(sorted(missing))}", "simulate some or leave the class out")


def _state(seed: int, purpose: str) -> int:
    """Seed of scikit-learn's generator."""
    return int(Seeds(seed, f"forest/{purpose}").rng("trees").integers(2**32))


def _one_frame(frame: NDArray[np.float32], exposure: Exposures) -> Movies:
    missing = np.isnan(frame)[:, None]
    n = len(frame)
    return Movies(
        np.where(missing, np.float32(0), frame[:, None]),
        np.where(missing, np.uint8(PixelBits.NO_DATA), np.uint8(0)),
        np.ones((n, 1), np.bool_),
        replace(exposure, mask=np.ones((n, 1), np.bool_)),
        np.full(n, ""),
        np.array([f"object {k}" for k in range(n)]),
        np.full(n, -1, np.int32),
    )

"""Classifiers: what they are asked to learn, what they are trained with, what they answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError, DataError
from skyreel.exposures import Exposures

if TYPE_CHECKING:
    from skyreel.movies import Movies
    from skyreel.preprocessing import SequenceOptions


@dataclass(frozen=True)
class Task:
    """What a classifier is asked to learn: fixed at `fit`, stored with the model.

    Attributes
    ----------
    classes : tuple of str
    bands : tuple of str
        Bands the movies may contain.
    stamp_size : int
        Side of the stamps [px].
    channels : tuple of str
    pixel_scale : float
        arcsec / px.
    sequence : SequenceOptions
    """

    classes: tuple[str, ...]
    bands: tuple[str, ...]
    stamp_size: int
    channels: tuple[str, ...]
    pixel_scale: float
    sequence: SequenceOptions


@dataclass(frozen=True)
class Predictions:
    """Class probabilities after every image.

    Attributes
    ----------
    classes : tuple of str
    probabilities : float32 (n, T, C)
        NaN where `mask` is False.
    mask : bool (n, T)
        False for frames that were not usable.
    complete : bool (n, T)
        False before n_w images have been seen (the first frame is repeated to fill the stack).
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    mask: NDArray[np.bool_]
    complete: NDArray[np.bool_]


class MovieStore(Protocol):
    """A set of movies with random access, in memory or on disk."""

    def __len__(self) -> int: ...

    @property
    def label(self) -> NDArray[np.str_]:
        """Class of every movie."""
        ...

    def take(self, objects: Any) -> Movies:
        """The movies with these indices, in this order."""
        ...


ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
"""Names that Lightning knows for `TrainerOptions.accelerator`."""


@dataclass(frozen=True)
class TrainerOptions:
    """How long and how to train (config group `trainer`).

    Attributes
    ----------
    max_steps : int
        Optimiser steps (the paper: 30,000).
    batch_size : int
        Sequences per step (the paper: 256).
    learning_rate : float
        Of AMSGrad (the paper: 5e-4).
    schedule : 'constant' or 'cosine'
    warmup_steps : int
    gradient_clip : float
        Largest gradient norm; 0 switches clipping off.
    weight_decay : float
    valid_every : int
        Steps between two passes over the validation set.
    valid_max : int
        Objects of the validation set used for these passes.
    accelerator : str
        Lightning accelerator: 'auto', 'cpu', 'gpu', ...
    devices : int
    precision : str
        Lightning precision, for example '32-true' or 'bf16-mixed'.
    threads : int
        CPU threads for torch; 0 leaves torch's own choice.
    progress : bool
        Progress bar in the terminal.

    Raises
    ------
    ConfigError
        For numbers out of range and an unknown accelerator.
    """

    max_steps: int = 30_000
    batch_size: int = 256
    learning_rate: float = 5e-4
    schedule: str = "constant"
    warmup_steps: int = 0
    gradient_clip: float = 0.0
    weight_decay: float = 0.0
    valid_every: int = 500
    valid_max: int = 5_000
    accelerator: str = "auto"
    devices: int = 1
    precision: str = "32-true"
    threads: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("max_steps", "batch_size", "valid_every", "valid_max", "devices"):
            if getattr(self, name) < 1:
                raise ConfigError(f"trainer.{name}", str(getattr(self, name)), "it must be at least 1")
        if not self.learning_rate > 0:
            raise ConfigError("trainer.learning_rate", str(self.learning_rate), "it must be positive")
        if self.accelerator not in ACCELERATORS:
            raise ConfigError("trainer.accelerator", repr(self.accelerator), f"use one of {', '.join(ACCELERATORS)}")


class Classifier(ABC):
    """Reads movies, gives a probability per class after every image. Owns its preprocessing.

    A classifier is built from its options, then either `fit` or `load` gives it a `task`.
    """

    task: Task | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self._task().classes

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands the model has been trained on."""
        return self._task().bands

    def _task(self) -> Task:
        if self.task is None:
            raise DataError(type(self).__name__, "a classifier that is neither trained nor loaded", "call fit() or load() first")
        return self.task

    @abstractmethod
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
        """Trains, keeps the state with the lowest validation loss and returns figures of the training.

        Checkpoints land in `run_dir` without pickle, so that an interrupted run (`Interrupted` is raised after the
        last checkpoint has been written) goes on with ``resume=True``.
        """

    def finetune(
        self, movies: MovieStore, replay: MovieStore | None, run_dir: Path, *, trainer: TrainerOptions, seed: int = 0
    ) -> Mapping[str, Any]:
        """Continues on labelled real movies, mixed with simulated ones (`replay`) so that no class is forgotten.

        Raises
        ------
        ConfigError
            If the classifier does not offer it.
        """
        raise ConfigError(f"fine-tuning {type(self).__name__}", "it does not offer that", "use a classifier that overrides finetune")

    @abstractmethod
    def predict(self, movies: Movies) -> Predictions:
        """Probabilities after every image of every movie.

        Raises
        ------
        DataError
            For stamps of another size or channels than the task's, NaN in unmasked pixels, empty sequences.
        BandError
            For a band the model has never seen.
        """

    @abstractmethod
    def initial_state(self, n: int) -> Any:
        """State of n objects before their first image."""

    @abstractmethod
    def step(self, state: Any, frame: NDArray[np.float32], exposure: Exposures) -> tuple[NDArray[np.float32], Any]:
        """One more image of each of n objects.

        Parameters
        ----------
        state
            As `initial_state` or the previous `step` returned; it is not changed.
        frame : (n, C, H, W)
            Raw ADU; NaN marks a pixel without data.
        exposure : Exposures, (n, 1)
            Reported conditions; objects whose mask is False keep their state and receive NaN.

        Returns
        -------
        probabilities : float32 (n, classes)
        state
        """

    @abstractmethod
    def state_to_bytes(self, state: Any) -> bytes:
        """The state as bytes, without pickle."""

    @abstractmethod
    def state_from_bytes(self, data: bytes) -> Any:
        """The inverse of `state_to_bytes`; ModelError for damaged bytes."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes model.json and weights (no pickle) into `folder`."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Classifier:
        """Reads what `save` wrote; ModelError for a missing, damaged or foreign folder."""

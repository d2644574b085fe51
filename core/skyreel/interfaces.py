"""What each kind of component must offer.

Abstract base classes, so that a later method can carry a default. A component is a dataclass whose fields are its
Hydra options, and works on batches of n objects with T epochs as arrays.

Shapes: n objects, T epochs, B bands, C channels, H x W pixels, J basis images of M x M samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exposures import Exposures
from skyreel.seeding import Seeds

if TYPE_CHECKING:
    import torch

    from skyreel.movies import Movies
    from skyreel.preprocessing import SequenceOptions

Array = NDArray[np.float64]
Params = dict[str, NDArray[Any]]
"""A table of n objects: one array with first axis n per column."""

CLASSES = ("supernova", "rr_lyrae", "cepheid", "eclipsing_binary", "non_variable", "galaxy", "asteroid")
"""The seven classes of the paper (Table 2), in the order used everywhere; other classes follow alphabetically."""


def class_order(names: Sequence[str]) -> tuple[str, ...]:
    """Class names in the project's order: the paper's seven first, all others alphabetically."""
    known = [name for name in CLASSES if name in names]
    return tuple(known + sorted(set(names) - set(known)))


# --------------------------------------------------------------------------------------------------- survey


@dataclass(frozen=True)
class Camera:
    """Detector constants of a survey, per CCD (Table 1 of the paper).

    Attributes
    ----------
    pixel_scale : float
        arcsec / px.
    bands : tuple of str
        Filters, in the order that `Exposures.band` indexes.
    ccd : int array (K,)
        CCD numbers.
    gain : float array (K,)
        electron / ADU.
    read_noise : float array (K,)
        electron.
    saturation : float array (K,)
        ADU.
    """

    pixel_scale: float
    bands: tuple[str, ...]
    ccd: NDArray[np.int16]
    gain: NDArray[np.float32]
    read_noise: NDArray[np.float32]
    saturation: NDArray[np.float32]


class Survey(ABC):
    """Where and when a survey looks, and through what sky and camera.

    Attributes
    ----------
    camera : Camera
    max_seeing : float or None
        Exposures with a larger reported seeing [arcsec] are not used (HiTS: 2.0).
    sampling : 'all_visits' or 'detections_only'
        Whether an object's movie holds every exposure or only those in which it is detected.
    channels : tuple of str
        Images per exposure, for example ('science',) or ('science', 'template', 'difference').
    """

    camera: Camera
    max_seeing: float | None = None
    sampling: Literal["all_visits", "detections_only"] = "all_visits"
    channels: ClassVar[tuple[str, ...]] = ("science",)

    @property
    def bands(self) -> tuple[str, ...]:
        """Filters, in the order that `Exposures.band` indexes."""
        return self.camera.bands

    @abstractmethod
    def sample(self, n: int, seeds: Seeds) -> Exposures:
        """Exposures of n random positions of the survey, in time order.

        The values are those that the survey would *report*; the simulation adds its own errors to get the true ones.
        Objects that share an `exposure_id` share that exposure's time, seeing, sky and zero point. The result must
        depend on `n` and `seeds` alone.
        """

    def replay(self, conditions: Exposures, n: int = 1) -> Exposures:
        """The schedule of one real object (a single row), for `n` simulated twins."""
        if len(conditions) != 1:
            raise DataError("survey.replay", f"{len(conditions)} objects", "hand in the exposures of one object")
        return conditions.take(np.zeros(n, np.intp))

    def detect(self, exposures: Exposures, mags: Array, host: Array | None = None) -> NDArray[np.bool_]:
        """Which epochs raise an alert.

        Parameters
        ----------
        exposures : Exposures, (n, T)
        mags : (n, T)
            Noiseless apparent magnitudes; +inf where the source gives no light.
        host : (n, T) or None
            Magnitude of the host galaxy's light under the source, +inf for none.

        Returns
        -------
        bool (n, T)
            Default: brighter than the limiting magnitude (section 3.1 of the paper).
        """
        return np.asarray(exposures.mask & (mags < exposures.limiting_mag))


# --------------------------------------------------------------------------------------------------- source


@dataclass(frozen=True)
class HostPolicy:
    """How often, where and at which redshift a class of source sits on a galaxy.

    Attributes
    ----------
    fraction : float
        Share of objects with a galaxy in the stamp.
    redshift : str or None
        Column of the source's params that fixes the host's redshift; None draws hosts of any redshift.
    offset : 'light', 'chance' or 'centre'
        Source position: drawn from the galaxy's exponential light, uniform over the stamp, or at the galaxy's centre.
    """

    fraction: float = 0.05
    redshift: str | None = None
    offset: Literal["light", "chance", "centre"] = "chance"


@dataclass(frozen=True)
class LightCurve:
    """What a source does at n x T epochs.

    Attributes
    ----------
    mag : (n, T)
        AB magnitude; +inf where the source gives no light.
    offset : (n, T, 2) or None
        Displacement (x, y) from the stamp's position [arcsec]; None: it does not move.
    trail : (n, T) or None
        Length of the trail within the exposure [arcsec], along the direction of motion; None: no trail.
    """

    mag: Array
    offset: Array | None = None
    trail: Array | None = None


class Source(ABC):
    """A class of object.

    Attributes
    ----------
    bands : tuple of str
        Filters the model knows; `light_curve` receives indices into it. Others raise BandError in the simulation.
    triggers : bool
        True for classes whose movie starts five images before their first alert (supernovae, asteroids); the other
        classes borrow the dates of such an object (section 3.1 of the paper).
    """

    bands: ClassVar[tuple[str, ...]] = ("u", "g", "r", "i", "z", "y")
    triggers: ClassVar[bool] = False

    @property
    def host_policy(self) -> HostPolicy:
        """Galaxies under this class; the default is the paper's 5 % chance alignments."""
        return HostPolicy()

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Parameters of n objects: one array with first axis n per column (period [d], redshift, ...).

        Parameters
        ----------
        n : int
        rng : numpy Generator
            The only source of randomness.
        window : (n, 2) or None
            First and last MJD of each object's exposures. Transients draw their date from it; without it they take
            place within 30 days of MJD 0. Periodic classes ignore it.
        """

    @abstractmethod
    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Noiseless light curve: pure, so that the same params can be seen at any epochs of any survey.

        Parameters
        ----------
        params : Params
            As `sample` returned (or some rows of it).
        mjd : (n, T)
            Middle of the exposures [d].
        band : int8 (n, T)
            Index into this class's `bands`.
        """

    def select(self, params: Params, mag: Array, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Objects that enter the catalogue at all, (n,) bool, before any alert is asked for. Default: all."""
        return np.ones(len(mag), np.bool_)


# ------------------------------------------------------------------------------------------------ PSF, host


class PSF(ABC):
    """The shape of a point source: a linear combination of basis images."""

    @abstractmethod
    def basis(self, scale: float, size: int, oversample: int) -> Array:
        """Basis images (J, M, M) with M = size * oversample.

        Each image samples an effective PSF (one that already holds the integration over a *native* pixel) every
        1/oversample px, times 1/oversample**2; its centre lies at (M - 1) / 2 on both axes, axes are (y, x).
        A combination with `coefficients` has unit flux over the plane (not over the stamp).

        Parameters
        ----------
        scale : float
            Native pixel scale [arcsec / px].
        size : int
            Side of the image [native px].
        oversample : int
            Samples per native px.
        """

    @abstractmethod
    def coefficients(self, exposures: Exposures, seeds: Seeds | None = None) -> Array:
        """Weights (n, T, J) of the basis images for the width `exposures.psf_fwhm` of each exposure.

        Parameters
        ----------
        exposures : Exposures
            The true conditions.
        seeds : Seeds or None
            For per-exposure shape draws (`seeds.exposure_normal`); None gives the mean shape.
        """


class Host(ABC):
    """A galaxy under or beside the source; also the object itself in the class `galaxy`."""

    bands: ClassVar[tuple[str, ...]] = ("u", "g", "r", "i", "z", "y")

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator, redshift: Array | None = None) -> Params:
        """Parameters of n galaxies; `redshift` (n,) fixes their redshift where it is not NaN."""

    @abstractmethod
    def mag(self, params: Params, bands: Sequence[str]) -> Array:
        """Total AB magnitude (n, B) in the named bands.

        Raises
        ------
        BandError
            For a band that is not in `self.bands`.
        """

    @abstractmethod
    def offsets(self, params: Params, rng: np.random.Generator) -> Array:
        """Positions (n, 2) = (x, y) [arcsec from the galaxy's centre] drawn from its light."""

    @abstractmethod
    def image(self, params: Params, offset: Array, bands: Sequence[str], scale: float, size: int, oversample: int) -> NDArray[np.float32]:
        """Unconvolved galaxies with unit flux over the plane, (n, B or 1, M, M), M = size * oversample.

        Each sample is the flux integrated over a sub-pixel of side scale / oversample; the galaxy's centre lies
        `offset` (n, 2) arcsec from the image centre (M - 1) / 2.
        """


# ------------------------------------------------------------------------------------------------- detector


class PixelBits:
    """Bits of the pixel mask that travels with every movie."""

    SATURATED = 1
    BAD = 2
    COSMIC_RAY = 4
    NO_DATA = 8


class Effect(ABC):
    """One step between the light that falls on the detector and the number that is stored.

    `stage` says in which unit the pixels arrive: 'scene' (expected ADU), 'electrons' or 'adu'. Effects of one stage
    run in the order the detector lists them.
    """

    stage: ClassVar[Literal["scene", "electrons", "adu"]]

    @abstractmethod
    def apply(
        self, pixels: torch.Tensor, bits: torch.Tensor, exposures: Exposures, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """New pixels (n, T, C, H, W) float32 and bit mask (same shape, uint8)."""


class Detector(ABC):
    """The ordered effects of a camera. The simulation rounds to whole ADU after the last one."""

    @abstractmethod
    def effects(self) -> Sequence[Effect]:
        """The effects, in order; stages must not go back (scene, then electrons, then adu)."""


# ----------------------------------------------------------------------------------------------- classifier


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
        """Continues on labelled real movies, mixed with simulated ones (`replay`) so that no class is forgotten."""
        raise NotImplementedError(f"{type(self).__name__} does not offer fine-tuning")

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


__all__ = [
    "CLASSES",
    "PSF",
    "Array",
    "Camera",
    "Classifier",
    "Detector",
    "Effect",
    "Host",
    "HostPolicy",
    "LightCurve",
    "MovieStore",
    "Params",
    "PixelBits",
    "Predictions",
    "Source",
    "Survey",
    "Task",
    "TrainerOptions",
    "class_order",
]

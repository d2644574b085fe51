"""Surveys and their cameras."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exposures import Exposures
from skyreel.interfaces.vocabulary import Array
from skyreel.seeding import Seeds


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

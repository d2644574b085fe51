"""Which exposures of HiTS raise an alert: by the flux gained since the first night, or by the limiting magnitude.

Real HiTS supernovae were found in differences against an image of the first night; their published light curves hold that
difference, and a supernova that was already there loses the reference's share of its light. Both rules work on noiseless magnitudes, for
training (section 3.1 of Carrasco-Davis et al. 2018). Alerts by 5 sigma of *measured* flux (section 4) belong to evaluation, where images
exist: `skyreel.evaluate.triggers`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.exposures import Exposures
from skyreel.interfaces import Array
from skyreel_hits.season import night_of

DETECTIONS = ("difference", "limiting_mag")


def by_difference(exposures: Exposures, mags: Array) -> NDArray[np.bool_]:
    """Exposures in which the flux above the reference is brighter than the 5 sigma limiting magnitude.

    The reference is the mean flux of the object's first night, per band; in a band that the first night lacks, of the first
    night in that band. A galaxy under the object cancels.

    Parameters
    ----------
    exposures : Exposures, (n, T)
    mags : (n, T)
        Noiseless magnitudes; +inf where the source gives no light.

    Returns
    -------
    bool (n, T)
        False where `exposures.mask` is.
    """
    flux = 10 ** (-0.4 * np.where(exposures.mask, mags, np.inf))
    night = np.where(exposures.mask, night_of(exposures.mjd), np.iinfo(np.int64).max)
    limit = 10 ** (-0.4 * exposures.limiting_mag.astype(np.float64))
    alerts = np.zeros(exposures.shape, np.bool_)
    for index in np.unique(exposures.band[exposures.mask]):
        here = exposures.mask & (exposures.band == index)
        nights = np.where(here, night, np.iinfo(np.int64).max)
        reference = here & (nights == nights.min(axis=1, keepdims=True))
        level = (flux * reference).sum(axis=1, keepdims=True) / np.maximum(reference.sum(axis=1, keepdims=True), 1)
        alerts |= here & (flux - level > limit)
    return alerts


def by_limiting_mag(exposures: Exposures, mags: Array) -> NDArray[np.bool_]:
    """Exposures in which the object itself is brighter than the limiting magnitude (section 3.1 of the paper).

    Parameters
    ----------
    exposures : Exposures, (n, T)
    mags : (n, T)

    Returns
    -------
    bool (n, T)
    """
    return np.asarray(exposures.mask & (mags < exposures.limiting_mag))


RULES = dict(zip(DETECTIONS, (by_difference, by_limiting_mag), strict=True))

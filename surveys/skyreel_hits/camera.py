"""DECam as HiTS used it: gain, read noise and saturation per CCD."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Camera

KNOWN = np.array(
    [
        [1, 4.039, 6.139, 38652],
        [5, 4.085, 6.209, 45237],
        [6, 3.793, 5.936, 50304],
        [7, 4.128, 6.258, 43219],
        [9, 3.870, 5.944, 46442],
        [25, 4.104, 6.119, 40469],
    ]
)
"""CCD, gain [electron / ADU], read noise [electron], saturation [ADU]: the six CCDs whose constants the public simulator
of Carrasco-Davis et al. 2018 holds (github.com/rodrigcd/HiTS_simulations, commit 275198b)."""

USED = np.array(
    [1, 5, 6, 7, 9, *range(11, 17), *range(18, 24), *range(25, 31), *range(33, 42), 43, 45, 47, 48, *range(50, 55), *range(56, 61), 62],
    np.int16,
)
"""The 47 CCDs of that simulator at the time of the paper."""


def decam(pixel_scale: float, bands: tuple[str, ...]) -> Camera:
    """The camera with the six known CCDs; `pixel_scale` in arcsec / px."""
    ccd, gain, read_noise, saturation = KNOWN.T
    return Camera(
        pixel_scale=pixel_scale,
        bands=bands,
        ccd=ccd.astype(np.int16),
        gain=gain.astype(np.float32),
        read_noise=read_noise.astype(np.float32),
        saturation=saturation.astype(np.float32),
    )


def detectors(n: int, rng: np.random.Generator, known_only: bool) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """One CCD for each of n objects, all CCDs alike.

    On a CCD without published constants they are drawn from the trivariate normal distribution with the mean and
    covariance of the six known CCDs, held within three standard deviations.

    Returns
    -------
    ccd : int16 (n,)
    constants : float (n, 3)
        Gain [electron / ADU], read noise [electron], saturation [ADU].
    """
    ccd = rng.choice(KNOWN[:, 0].astype(np.int16) if known_only else USED, n)
    values = KNOWN[:, 1:]
    mean, width = values.mean(axis=0), values.std(axis=0, ddof=1)
    drawn = rng.multivariate_normal(mean, np.cov(values, rowvar=False), n)
    drawn = np.clip(drawn, mean - 3 * width, mean + 3 * width)
    match = ccd[:, None] == KNOWN[:, 0]
    return ccd, np.where(match.any(axis=1)[:, None], values[match.argmax(axis=1)], drawn)

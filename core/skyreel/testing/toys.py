"""Small exposures and movies made without any plugin, for the tests of plugins and of skyreel itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skyreel.exposures import Exposures
from skyreel.interfaces import Task
from skyreel.movies import Movies
from skyreel.preprocessing import SequenceOptions

PIXEL_SCALE = 0.27
"""arcsec / px"""

SKY = 400.0
"""ADU / px"""


def toy_exposures(n: int, epochs: int, bands: tuple[str, ...] = ("g",), seed: int = 0) -> Exposures:
    """Plausible conditions of n objects: four visits a night, bands in turn, all objects under the same exposures.

    Parameters
    ----------
    n, epochs : int
        Shape of the result.
    bands : tuple of str
    seed : int

    Returns
    -------
    Exposures, (n, epochs)
        Passes `Exposures.check`.
    """
    rng = np.random.default_rng(seed)
    epoch = np.arange(epochs)
    airmass = rng.uniform(1.0, 1.6, epochs)
    seeing = 1.1 * airmass**0.6 * rng.lognormal(0.0, 0.1, epochs)
    row = {
        "mask": np.ones(epochs, np.bool_),
        "mjd": 57070.0 + epoch // 4 + 0.07 * (epoch % 4) + rng.uniform(0.0, 0.01, epochs),
        "band": epoch % len(bands),
        "exptime": np.full(epochs, 86.0),
        "seeing": seeing,
        "psf_fwhm": seeing / PIXEL_SCALE,
        "airmass": airmass,
        "sky": SKY * rng.uniform(0.9, 1.3, epochs),
        "zero_point": 25.5 + rng.normal(0.0, 0.05, epochs),
        "limiting_mag": 24.0 - 0.3 * (airmass - 1.0),
        "exposure_id": epoch,
        "field": np.zeros(epochs),
        "ccd": np.ones(epochs),
        "gain": np.full(epochs, 4.0),
        "read_noise": np.full(epochs, 6.0),
        "saturation": np.full(epochs, 40_000.0),
    }
    return Exposures(bands, **{name: np.tile(column, (n, 1)) for name, column in row.items()})


def toy_movies(
    n: int, epochs: int, classes: Sequence[str], size: int = 21, bands: tuple[str, ...] = ("g",), channels: int = 1, seed: int = 0
) -> Movies:
    """Stars on a noisy sky, labelled in turn; the class number sets how often the star's brightness goes up and down.

    Class 0 is constant, class k has k half periods over the movie with an amplitude of 80 %. Fluxes are 1,000 to
    10,000 ADU at a zero point of 25.5 mag.

    Parameters
    ----------
    n, epochs : int
    classes : sequence of str
    size : int
        Side of the stamps [px].
    bands : tuple of str
    channels : int
        The same image is repeated in each.
    seed : int

    Returns
    -------
    Movies
        uint16 pixels (n, epochs, channels, size, size); all frames usable; no truth.
    """
    rng = np.random.default_rng(seed)
    exposures = toy_exposures(n, epochs, bands, seed)
    kind = np.arange(n) % len(classes)
    phase = np.pi * kind[:, None] * np.arange(epochs) / max(epochs - 1, 1)
    flux = 10.0 ** rng.uniform(3.0, 4.0, (n, 1)) * (1.0 - 0.8 * np.abs(np.sin(phase)))
    flux = flux * 10.0 ** (0.4 * (exposures.zero_point - 25.5))

    axis = np.arange(size) - (size - 1) / 2
    sigma = exposures.psf_fwhm[:, :, None, None] / (2.0 * np.sqrt(2.0 * np.log(2.0)))
    star = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / sigma**2) / (2.0 * np.pi * sigma**2)
    expected = exposures.sky[:, :, None, None] + flux[:, :, None, None] * star
    gain = exposures.gain[:, :, None, None]
    counts = rng.poisson(expected * gain) / gain
    pixels = np.clip(np.rint(counts), 0, 65_535).astype(np.uint16)[:, :, None].repeat(channels, axis=2)
    return Movies(
        pixels,
        np.zeros(pixels.shape, np.uint8),
        np.ones((n, epochs), np.bool_),
        exposures,
        np.asarray(classes, np.str_)[kind],
        np.array([f"toy-{i}" for i in range(n)]),
        np.full(n, -1, np.int32),
    )


def toy_task(movies: Movies, classes: Sequence[str], sequence: SequenceOptions | None = None) -> Task:
    """The task that `movies` of `toy_movies` pose."""
    names = ("science", "template", "difference")[: movies.pixels.shape[2]]
    return Task(tuple(classes), movies.reported.bands, movies.stamp_size, names, PIXEL_SCALE, sequence or SequenceOptions())

"""Movies like those of HiTS, without a simulation, for the tests of sequences."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from skyreel.exposures import DTYPES, Exposures
from skyreel.movies import Movies, Truth
from skyreel.photometry import psf_image
from skyreel.preprocessing import SequenceOptions, n_conditions
from skyreel.stepwise import advance, initial_sequence_state

CONF = Path(__file__).parents[1] / "conf" / "sequence"
BANDS = ("g", "r", "i")
RUNNING = SequenceOptions(scaling="running_max", conditions=("psf_fwhm", "sky", "band"))


def conditions(n, epochs, seed=0, mask=None, bands=BANDS):
    """Random conditions like those of HiTS."""
    rng = np.random.default_rng(seed)
    shape = (n, epochs)
    columns = {name: np.zeros(shape) for name in DTYPES}
    columns |= {
        "mask": np.ones(shape, bool) if mask is None else mask,
        "mjd": 57070 + np.cumsum(rng.uniform(0.05, 1.0, shape), axis=1),
        "band": rng.integers(0, len(bands), shape),
        "exptime": rng.choice([60.0, 86.0, 102.0], shape),
        "seeing": rng.uniform(1.0, 2.0, shape),
        "psf_fwhm": rng.uniform(2.8, 6.0, shape),
        "airmass": rng.uniform(1.0, 2.0, shape),
        "sky": rng.uniform(90, 600, shape),
        "zero_point": rng.normal(25, 0.2, shape),
        "limiting_mag": rng.normal(23, 0.3, shape),
        "gain": np.full(shape, 4.1),
        "read_noise": np.full(shape, 6.1),
        "saturation": np.full(shape, 4e4),
    }
    return Exposures(bands, **columns)


def movies(n=4, epochs=7, seed=0, frame_mask=None, size=9, channels=1, first=None, dtype=np.float32, bits=None):
    """Noisy stars of random brightness; unusable frames hold NaN (floats) so that any use of them shows."""
    rng = np.random.default_rng(seed)
    usable = np.ones((n, epochs), bool) if frame_mask is None else np.asarray(frame_mask)
    reported = conditions(n, epochs, seed)
    flux = rng.uniform(50, 2e4, (n, epochs)).astype(np.float32)
    star = psf_image((size, size), reported.psf_fwhm) * flux[..., None, None] + reported.sky[..., None, None]
    pixels = np.round(star[:, :, None] + rng.normal(0, 6, (n, epochs, channels, size, size))).astype(np.float32)
    pixels[~usable] = np.nan
    pixels = np.where(np.isnan(pixels), 9999, pixels).astype(dtype) if np.dtype(dtype).kind == "u" else pixels
    return Movies(
        pixels=pixels,
        pixel_mask=np.zeros(pixels.shape, np.uint8) if bits is None else bits,
        frame_mask=usable,
        reported=reported,
        label=np.full(n, "supernova"),
        object_id=np.array([f"o{i}" for i in range(n)]),
        first_detection=np.full(n, -1, np.int32) if first is None else np.asarray(first, np.int32),
        truth=Truth(reported, flux, rng.normal(0, 0.3, (n, epochs, 2)).astype(np.float32), np.zeros(n, bool), {"period": np.arange(n)}),
    )


def stepwise(movies, options):
    """Every frame of the movies fed to `advance` one at a time."""
    channels, size = movies.pixels.shape[2], movies.stamp_size
    state = initial_sequence_state(len(movies), options, channels, size, n_conditions(options, movies.reported.bands))
    steps = []
    for epoch in range(movies.pixels.shape[1]):
        exposure = movies.reported.window(np.full(len(movies), epoch), 1)
        exposure = exposure.replace(mask=exposure.mask & movies.frame_mask[:, epoch : epoch + 1])
        step, state = advance(state, movies.pixels[:, epoch], exposure, options, movies.pixel_mask[:, epoch])
        steps.append(step)
    return steps, state


def usable_frames(draw, n, epochs, least=1):
    rows = st.lists(st.booleans(), min_size=epochs, max_size=epochs).filter(lambda row: sum(row) >= least)
    return np.array([draw(rows) for _ in range(n)])

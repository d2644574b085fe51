"""Small exposures and movies for tests, made without any plugin."""

import numpy as np

from skyreel.exposures import DTYPES, Exposures
from skyreel.movies import Movies, Truth


def exposures(n: int = 3, epochs: int = 6, bands: tuple[str, ...] = ("g",)) -> Exposures:
    rng = np.random.default_rng(5)
    columns = {name: rng.uniform(1, 2, (n, epochs)) for name in DTYPES}
    columns["mjd"] = 57070 + np.cumsum(rng.uniform(0.05, 1, (n, epochs)), axis=1)
    columns["mask"] = np.ones((n, epochs), bool)
    columns["band"] = np.zeros((n, epochs))
    columns["exposure_id"] = np.arange(n * epochs).reshape(n, epochs)
    return Exposures(bands, **columns)


def movies(n: int = 5, epochs: int = 6, seed: int = 0, dtype: type = np.uint16) -> Movies:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, epochs + 1, n)
    mask = np.arange(epochs) < lengths[:, None]
    reported = exposures(n, epochs)
    reported = reported.replace(mask=mask)
    pixels = np.where(mask[:, :, None, None, None], rng.integers(0, 4000, (n, epochs, 1, 9, 9)), 0).astype(dtype)
    bits = np.zeros(pixels.shape, np.uint8)
    bits[0, 0, 0, 4, 4] = 1
    truth = Truth(
        reported,
        np.where(mask, rng.uniform(0, 10, (n, epochs)), 0).astype(np.float32),
        np.where(mask[..., None], rng.uniform(-1, 1, (n, epochs, 2)), 0).astype(np.float32),
        rng.random(n) < 0.5,
        {"period": rng.uniform(0, 1, n)},
    )
    names = np.array([f"object-{seed}-{i}" for i in range(n)])
    return Movies(pixels, bits, mask, reported, np.array(["asteroid"] * n), names, np.full(n, -1, np.int32), truth)

"""Two easy classes for the network's tests: stars of constant brightness, and one bright flash."""

import numpy as np

from skyreel.exposures import DTYPES, Exposures
from skyreel.interfaces import Task, TrainerOptions
from skyreel.movies import Movies
from skyreel.preprocessing import SequenceOptions
from skyreel_rcnn.classifier import RCNN

CLASSES = ("non_variable", "asteroid")
SIZE = 9


class Store:
    """Movies as a MovieStore."""

    def __init__(self, movies: Movies) -> None:
        self.movies = movies

    def __len__(self) -> int:
        return len(self.movies)

    @property
    def label(self):
        return self.movies.label

    def take(self, objects) -> Movies:
        return self.movies.take(objects)


def task(conditions: tuple[str, ...] = (), size: int = SIZE, bands: tuple[str, ...] = ("g",)) -> Task:
    sequence = SequenceOptions(max_images=8, before_alert=2, scaling="running_max", conditions=conditions)
    return Task(classes=CLASSES, bands=bands, stamp_size=size, channels=("science",), pixel_scale=0.27, sequence=sequence)


def tiny(**options) -> RCNN:
    plain = {
        "channels": [[8], [8]],
        "dense": 32,
        "dropout": 0.2,
        "lstm": 16,
        "time_unit": 10.0,
        "device": "cpu",
        "norm_order": "norm_first",
    }
    return RCNN(**{**plain, "renorm_warmup": 5, "renorm_ramp": 10, **options})


def trainer(**options) -> TrainerOptions:
    plain = {"max_steps": 6, "batch_size": 8, "learning_rate": 3e-3, "valid_every": 3, "valid_max": 32, "accelerator": "cpu", "threads": 1}
    return TrainerOptions(**{**plain, "progress": False, **options})


def movies(n: int = 32, epochs: int = 8, seed: int = 0, bands: tuple[str, ...] = ("g",)) -> Movies:
    """Half stars, half flashes, of 5 to `epochs` images, some of which cannot be used."""
    rng = np.random.default_rng(seed)
    columns = {name: np.ones((n, epochs)) for name in DTYPES}
    columns["mjd"] = 57070 + np.cumsum(rng.uniform(0.05, 2, (n, epochs)), axis=1)
    columns["mask"] = np.arange(epochs) < rng.integers(5, epochs + 1, n)[:, None]
    columns["band"] = rng.integers(0, len(bands), (n, epochs))
    columns |= {
        "zero_point": 25 + rng.normal(0, 0.1, (n, epochs)),
        "sky": np.full((n, epochs), 300.0),
        "exptime": np.full((n, epochs), 86.0),
    }
    columns |= {"psf_fwhm": np.full((n, epochs), 4.0), "gain": np.full((n, epochs), 4.0), "saturation": np.full((n, epochs), 6e4)}
    columns["read_noise"] = np.full((n, epochs), 5.0)
    label = np.array([CLASSES[k % 2] for k in range(n)])
    flash = (np.arange(epochs) == 2) | (label == "non_variable")[:, None]
    flux = rng.uniform(5e3, 2e4, n)[:, None] * flash * 10 ** ((columns["zero_point"] - 25) / 2.5)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    psf = np.exp(-4 * np.log(2) * (x**2 + y**2) / 4.0**2)
    pixels = rng.normal(300 + flux[:, :, None, None, None] * psf / psf.sum(), 9.0, (n, epochs, 1, SIZE, SIZE)).astype(np.float32)
    frame_mask = columns["mask"] & (rng.random((n, epochs)) > 0.1)
    frame_mask[:, :3] = True
    bits = np.zeros(pixels.shape, np.uint8)
    first = np.where(label == "asteroid", 2, -1).astype(np.int32)
    return Movies(pixels, bits, frame_mask, Exposures(bands, **columns), label, np.array([f"toy-{k}" for k in range(n)]), first)

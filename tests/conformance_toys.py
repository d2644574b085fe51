"""One correct component of every kind, as small as the contract allows; the kit's tests run and break them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from skyreel.errors import BandError, DataError, ModelError
from skyreel.exposures import Exposures
from skyreel.interfaces import PSF, Camera, Classifier, Detector, Effect, Host, LightCurve, Predictions, Source, Survey, Task
from skyreel.preprocessing import SequenceOptions
from skyreel.testing import toy_exposures

FIELDS = 20


@dataclass
class ToySurvey(Survey):
    epochs: int = 20

    def __post_init__(self):
        one = np.ones(1, np.float32)
        self.camera = Camera(0.27, ("g",), np.array([1], np.int16), 4 * one, 6 * one, 40_000 * one)

    def sample(self, n, seeds):
        start = int(seeds.shared_rng("toy").integers(1 << 30))
        fields = Exposures.concatenate([toy_exposures(1, self.epochs, seed=start + k) for k in range(FIELDS)])
        number = np.arange(FIELDS)[:, None] + 0 * fields.field
        fields = fields.replace(field=number, exposure_id=fields.exposure_id + 1000 * number)
        return fields.take(seeds.rng("toy").integers(0, FIELDS, n))


@dataclass
class ToySource(Source):
    """A flare whose brightness falls by 1 mag in `width` days."""

    width: float = 5.0
    triggers = True

    def sample(self, n, rng, *, window=None):
        window = np.tile([-30.0, 30.0], (n, 1)) if window is None else window
        return {"date": rng.uniform(window[:, 0], window[:, 1]), "peak_mag": rng.uniform(18, 22, n)}

    def light_curve(self, params, mjd, band):
        age = mjd - params["date"][:, None]
        return LightCurve(np.where(age < -10, np.inf, params["peak_mag"][:, None] + (age / self.width) ** 2))


@dataclass
class ToyPSF(PSF):
    """Gaussians of fixed widths, the two nearest to the asked one mixed."""

    step: float = 0.1

    def _widths(self):
        return np.arange(2.0, 8.0, self.step)

    def basis(self, scale, size, oversample):
        axis = (np.arange(size * oversample) - (size * oversample - 1) / 2) / oversample
        sigma = (self._widths() / np.sqrt(8 * np.log(2)))[:, None, None]
        return np.exp(-0.5 * (axis**2 + axis[:, None] ** 2) / sigma**2) / (2 * np.pi * sigma**2 * oversample**2)

    def coefficients(self, exposures, seeds=None):
        return np.clip(1 - np.abs(exposures.psf_fwhm[..., None] - self._widths()) / self.step, 0, 1)


@dataclass
class ToyHost(Host):
    """Round Gaussians of `sigma` arcsec."""

    sigma: float = 1.0

    def sample(self, n, rng, redshift=None):
        drawn = rng.uniform(0.05, 0.5, n)
        return {"mag": rng.uniform(17, 22, n), "redshift": drawn if redshift is None else np.where(np.isnan(redshift), drawn, redshift)}

    def mag(self, params, bands: Sequence[str]):
        if set(bands) - set(self.bands):
            raise BandError("toy host", f"bands {list(bands)}", f"have {self.bands}")
        return np.repeat(params["mag"][:, None], len(bands), axis=1)

    def offsets(self, params, rng):
        return rng.normal(0, self.sigma, (len(params["mag"]), 2))

    def image(self, params, offset, bands, scale, size, oversample):
        axis = (np.arange(size * oversample) - (size * oversample - 1) / 2) * scale / oversample
        x, y = (np.exp(-0.5 * ((axis - offset[:, k, None]) / self.sigma) ** 2) for k in (0, 1))
        pixel = (scale / oversample) ** 2 / (2 * np.pi * self.sigma**2)
        return (y[:, :, None] * x[:, None, :] * pixel)[:, None].astype(np.float32)


@dataclass
class Photons(Effect):
    stage = "electrons"

    def apply(self, pixels, bits, exposures, generator):
        import torch

        return torch.poisson(pixels, generator=generator), bits


@dataclass
class ReadNoise(Effect):
    stage = "electrons"

    def apply(self, pixels, bits, exposures, generator):
        import torch

        sigma = torch.from_numpy(exposures.read_noise)[:, :, None, None, None]
        return pixels + sigma * torch.randn(pixels.shape, generator=generator), bits


@dataclass
class ToyDetector(Detector):
    read_noise: bool = True

    def effects(self):
        return [Photons(), ReadNoise()] if self.read_noise else [Photons()]


@dataclass
class ToyClassifier(Classifier):
    """Softmax of the distance between the mean counts so far and the mean counts of each class."""

    sharpness: float = 1.0

    def fit(self, train, valid, run_dir, *, task, trainer, seed=0, resume=False):
        self.task = task
        movies = train.take(np.arange(len(train)))
        level = self._level(movies.pixels, movies.reported.sky).mean(axis=1)
        self.centres = np.array([level[movies.label == name].mean() for name in task.classes])
        return {"steps": 0}

    @staticmethod
    def _level(pixels, sky):
        return np.log(np.abs(pixels.astype(float) - sky[..., None, None, None]).sum(axis=(-3, -2, -1)))

    def predict(self, movies):
        task = self._task()
        movies.check("toy classifier")
        if movies.stamp_size != task.stamp_size:
            raise DataError("toy classifier", f"stamps of {movies.stamp_size} px", f"trained on {task.stamp_size}")
        used = np.unique(movies.reported.band[movies.frame_mask])
        if {movies.reported.bands[band] for band in used} - set(task.bands):
            raise BandError("toy classifier", f"bands {movies.reported.bands}", f"trained on {task.bands}")
        state, out = self.initial_state(len(movies)), []
        for epoch in range(movies.pixels.shape[1]):
            exposure = movies.reported.window(np.full(len(movies), epoch), 1)
            exposure = exposure.replace(mask=movies.frame_mask[:, epoch, None])
            probabilities, state = self.step(state, movies.pixels[:, epoch], exposure)
            out.append(probabilities)
        mask = movies.frame_mask
        return Predictions(task.classes, np.stack(out, axis=1), mask, mask & (mask.cumsum(axis=1) >= task.sequence.n_stacked))

    def initial_state(self, n):
        return np.zeros((2, n))

    def step(self, state, frame, exposure):
        seen = exposure.mask[:, 0]
        total, count = state + seen * np.stack([self._level(frame, exposure.sky[:, 0]), np.ones(len(frame))])
        distance = np.abs((total / np.maximum(count, 1))[:, None] - self.centres)
        score = np.exp(-self.sharpness * distance)
        return np.where(seen[:, None], score / score.sum(axis=1, keepdims=True), np.nan).astype(np.float32), np.stack([total, count])

    def state_to_bytes(self, state):
        return json.dumps(state.tolist()).encode()

    def state_from_bytes(self, data):
        try:
            return np.array(json.loads(data))
        except ValueError as err:
            raise ModelError("toy state", str(err), "feed the frames again") from err

    def save(self, folder):
        (folder / "model.json").write_text(json.dumps({**asdict(self), "task": asdict(self.task), "centres": self.centres.tolist()}))

    @classmethod
    def load(cls, folder):
        try:
            data = json.loads((folder / "model.json").read_text())
        except (OSError, ValueError) as err:
            raise ModelError(f"model {folder}", str(err), "train again") from err
        made = cls(data["sharpness"])
        task = {key: tuple(value) if isinstance(value, list) else value for key, value in data["task"].items()}
        sequence = task.pop("sequence")
        options = SequenceOptions(**{key: tuple(value) if isinstance(value, list) else value for key, value in sequence.items()})
        made.task, made.centres = Task(**task, sequence=options), np.array(data["centres"])
        return made


CORRECT = {
    "survey": ToySurvey,
    "source": ToySource,
    "psf": ToyPSF,
    "host": ToyHost,
    "detector": ToyDetector,
    "classifier": ToyClassifier,
}

"""The conformance kit passes correct components and names the sentence of the contract that a broken one breaks."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import conformance_toys as toys
import numpy as np
import pytest

from skyreel.errors import DataError, PluginError
from skyreel.exposures import Exposures
from skyreel.interfaces import CLASSES, LightCurve
from skyreel.registry import KINDS
from skyreel.seeding import Seeds
from skyreel.testing import CHECKS, checks, toy_exposures, toy_movies, toy_task
from skyreel.testing.packaging import check_light

TESTS = Path(__file__).parent


@pytest.mark.parametrize(("kind", "label"), [(kind, label) for kind in CHECKS for label in CHECKS[kind]])
def test_a_correct_component_passes(kind: str, label: str) -> None:
    CHECKS[kind][label](toys.CORRECT[kind]())


def test_every_kind_has_checks() -> None:
    assert set(CHECKS) == set(KINDS)
    assert all(CHECKS.values())


# ------------------------------------------------------------------------------------- broken on purpose


@dataclass
class NegativeGain(toys.ToySurvey):
    def __post_init__(self):
        super().__post_init__()
        self.camera = replace(self.camera, gain=-self.camera.gain)


@dataclass
class BackwardsInTime(toys.ToySurvey):
    def sample(self, n, seeds):
        out = super().sample(n, seeds)
        return out.replace(mjd=out.mjd[:, ::-1])


@dataclass
class UnseededSurvey(toys.ToySurvey):
    def sample(self, n, seeds):
        out = super().sample(n, seeds)
        return out.take(np.random.default_rng().permutation(n))


@dataclass
class BlindToTheBlock(toys.ToySurvey):
    def sample(self, n, seeds):
        return super().sample(n, Seeds(seeds.root))


@dataclass
class SeeingPerObject(toys.ToySurvey):
    def sample(self, n, seeds):
        out = super().sample(n, seeds)
        return out.replace(seeing=out.seeing * seeds.rng("x").uniform(0.9, 1.1, (n, 1)))


@dataclass
class DetectsTheDark(toys.ToySurvey):
    def detect(self, exposures, mags, host=None):
        return np.ones(exposures.shape, bool)


@dataclass
class ReplayLosesFrames(toys.ToySurvey):
    def replay(self, conditions, n=1):
        return super().replay(conditions, n).window(np.ones(n, int), 5)


@dataclass
class SumsOverTheBatch(toys.ToySource):
    def light_curve(self, params, mjd, band):
        return LightCurve(super().light_curve(params, mjd, band).mag + params["peak_mag"].mean())


@dataclass
class NaNBeforeTheFlare(toys.ToySource):
    def light_curve(self, params, mjd, band):
        mag = super().light_curve(params, mjd, band).mag
        return LightCurve(np.where(np.isinf(mag), np.nan, mag))


@dataclass
class NoisyLightCurve(toys.ToySource):
    def light_curve(self, params, mjd, band):
        return LightCurve(super().light_curve(params, mjd, band).mag + np.random.default_rng().normal(size=mjd.shape))


@dataclass
class IgnoresTheWindow(toys.ToySource):
    def sample(self, n, rng, *, window=None):
        return super().sample(n, rng, window=np.tile([57070.0, 57090.0], (n, 1)))


@dataclass
class OneRowShort(toys.ToySource):
    def sample(self, n, rng, *, window=None):
        return {name: column[1:] for name, column in super().sample(n, rng, window=window).items()}


@dataclass
class SelectsByNumber(toys.ToySource):
    def select(self, params, mag, rng):
        return np.arange(len(mag))


@dataclass
class LosesLight(toys.ToyPSF):
    def coefficients(self, exposures, seeds=None):
        return 0.99 * super().coefficients(exposures, seeds)


@dataclass
class TooWide(toys.ToyPSF):
    def coefficients(self, exposures, seeds=None):
        return super().coefficients(exposures.replace(psf_fwhm=1.2 * exposures.psf_fwhm), seeds)


@dataclass
class UnseededPSF(toys.ToyPSF):
    def coefficients(self, exposures, seeds=None):
        return super().coefficients(exposures) * np.random.default_rng().uniform(0.999, 1.001)


@dataclass
class HostForgetsRedshift(toys.ToyHost):
    def sample(self, n, rng, redshift=None):
        return super().sample(n, rng)


@dataclass
class HostKnowsEveryBand(toys.ToyHost):
    def mag(self, params, bands):
        return np.repeat(params["mag"][:, None], len(bands), axis=1)


@dataclass
class HostOnOneSide(toys.ToyHost):
    def offsets(self, params, rng):
        return np.abs(super().offsets(params, rng))


@dataclass
class HostSwapsAxes(toys.ToyHost):
    def image(self, params, offset, *args):
        return super().image(params, offset[:, ::-1], *args)


@dataclass
class HostGainsLight(toys.ToyHost):
    def image(self, *args):
        return 1.05 * super().image(*args)


@dataclass
class StagesGoBack(toys.ToyDetector):
    def effects(self):
        late = toys.ReadNoise()
        late.stage = "adu"
        return [late, toys.Photons()]


@dataclass
class NoReadNoise(toys.ToyDetector):
    read_noise: bool = False


@dataclass
class KnowsNoBands(toys.ToyClassifier):
    @property
    def bands(self):
        return ()


@dataclass
class GuessesUntrained(toys.ToyClassifier):
    def predict(self, movies):
        return super().predict(movies) if self.task else None


@dataclass
class DoublesProbabilities(toys.ToyClassifier):
    def predict(self, movies):
        out = super().predict(movies)
        return replace(out, probabilities=2 * out.probabilities)


@dataclass
class AlwaysComplete(toys.ToyClassifier):
    def predict(self, movies):
        out = super().predict(movies)
        return replace(out, complete=out.mask)


@dataclass
class SeesTheFuture(toys.ToyClassifier):
    def predict(self, movies):
        out = super().predict(movies)
        last = np.nanmean(out.probabilities, axis=1, keepdims=True)
        return replace(out, probabilities=(out.probabilities + last) / 2)


@dataclass
class SeesTheNeighbours(toys.ToyClassifier):
    def predict(self, movies):
        out = super().predict(movies)
        mean = np.nanmean(out.probabilities, axis=0)
        return replace(out, probabilities=(out.probabilities + mean) / 2)


@dataclass
class StepsAstray(toys.ToyClassifier):
    def step(self, state, frame, exposure):
        probabilities, state = super().step(state, frame, exposure)
        return np.roll(probabilities, 1, axis=1), state

    def predict(self, movies):
        out = super().predict(movies)
        return replace(out, probabilities=np.roll(out.probabilities, -1, axis=2))


@dataclass
class ChangesItsState(toys.ToyClassifier):
    def step(self, state, frame, exposure):
        probabilities, new = super().step(state, frame, exposure)
        state[:] = new
        return probabilities, new


@dataclass
class SavesPickle(toys.ToyClassifier):
    def save(self, folder):
        super().save(folder)
        (folder / "weights.pkl").write_bytes(b"")


@dataclass
class LoadsAnything(toys.ToyClassifier):
    @classmethod
    def load(cls, folder):
        return cls()


@dataclass
class AcceptsEveryBand(toys.ToyClassifier):
    def predict(self, movies):
        return super().predict(replace(movies, reported=movies.reported.replace(bands=self.bands)))


BROKEN = {
    "survey": {
        NegativeGain: "camera",
        BackwardsInTime: "exposures",
        UnseededSurvey: "seeds",
        BlindToTheBlock: "seeds",
        SeeingPerObject: "shared_exposures",
        DetectsTheDark: "detect",
        ReplayLosesFrames: "replay",
    },
    "source": {
        OneRowShort: "params",
        NaNBeforeTheFlare: "light",
        NoisyLightCurve: "pure",
        SumsOverTheBatch: "batch",
        IgnoresTheWindow: "window",
        SelectsByNumber: "catalogue",
    },
    "psf": {UnseededPSF: "shapes", LosesLight: "flux", TooWide: "width"},
    "host": {
        HostForgetsRedshift: "params",
        HostKnowsEveryBand: "mag",
        HostOnOneSide: "offsets",
        HostSwapsAxes: "image",
        HostGainsLight: "image",
    },
    "detector": {StagesGoBack: "stages", NoReadNoise: "noise"},
    "classifier": {
        KnowsNoBands: "fit",
        GuessesUntrained: "untrained",
        DoublesProbabilities: "predict",
        AlwaysComplete: "complete",
        SeesTheFuture: "causal",
        SeesTheNeighbours: "rows",
        StepsAstray: "stepwise",
        ChangesItsState: "state",
        SavesPickle: "save",
        LoadsAnything: "damaged_model",
        AcceptsEveryBand: "errors",
    },
}


@pytest.mark.parametrize(
    ("kind", "cls", "label"),
    [pytest.param(kind, cls, label, id=f"{kind}-{label}-{cls.__name__}") for kind in BROKEN for cls, label in BROKEN[kind].items()],
)
def test_a_broken_component_fails_the_check_of_its_kind(kind: str, cls: type, label: str) -> None:
    with pytest.raises((AssertionError, DataError)):  # Exposures.check, called by a check, raises DataError
        CHECKS[kind][label](cls())


def test_every_check_has_a_component_that_fails_it() -> None:
    assert {kind: set(labels.values()) for kind, labels in BROKEN.items()} == {kind: set(labels) for kind, labels in CHECKS.items()}


# --------------------------------------------------------------------------------------------- as a plugin


def _install(folder: Path, name: str, code: str) -> dict[str, str]:
    """A plugin that importlib.metadata finds through PYTHONPATH, and the environment that has it."""
    (folder / f"skyreel_{name}.py").write_text(code)
    info = folder / f"skyreel_{name}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: skyreel-{name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[skyreel]\n{name} = skyreel_{name}\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(TESTS)])}


def test_check_plugin_is_one_line_for_an_outside_author(tmp_path: Path) -> None:
    code = (
        "from skyreel import Component, hookimpl\n"
        "@hookimpl\ndef skyreel_surveys():\n    return [Component('toy', 'conformance_toys:ToySurvey')]\n"
        "@hookimpl\ndef skyreel_sources():\n    return [Component('toy_flare', 'conformance_toys:ToySource')]\n"
    )
    environment = _install(tmp_path, "toy", code)
    (tmp_path / "test_toy.py").write_text("from skyreel.testing import check_plugin\ntest_toy = check_plugin('toy')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-rA", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
    expected = 1 + sum(3 + len(CHECKS[kind]) for kind in ("survey", "source"))
    assert f"{expected} passed" in done.stdout
    assert "test_toy[source-toy_flare-window]" in done.stdout


def test_a_heavy_import_fails_the_light_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heavy_plugin.py").write_text("import scipy\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(AssertionError, match="imports scipy"):
        check_light("heavy_plugin")


def test_an_unknown_plugin_is_named() -> None:
    with pytest.raises(PluginError, match="'sourcess' is not loaded.*did you mean 'sources'"):
        list(checks("sourcess"))


# ---------------------------------------------------------------------------------------------------- toys


@pytest.mark.parametrize("bands", [("g",), ("g", "r", "i")])
def test_toy_exposures_are_usable(bands: tuple[str, ...]) -> None:
    exposures = toy_exposures(5, 30, bands)
    exposures.check("toys")
    assert exposures.shape == (5, 30)
    assert set(np.unique(exposures.band)) == set(range(len(bands)))
    assert isinstance(exposures, Exposures)


def test_toy_movies_hold_the_flux_they_promise() -> None:
    movies = toy_movies(14, 9, CLASSES, size=41)
    movies.check("toys")
    assert list(movies.label[:7]) == list(CLASSES)
    flux = (movies.pixels.astype(float) - movies.reported.sky[:, :, None, None, None]).sum(axis=(2, 3, 4))
    flux = flux * 10 ** (-0.4 * (movies.reported.zero_point - 25.5))
    noise = np.sqrt(41 * 41 * movies.reported.sky / movies.reported.gain + 10_000 / 4)
    constant = flux[movies.label == CLASSES[0]]
    assert (np.abs(constant - constant.mean(axis=1, keepdims=True)) < 5 * noise[0]).all()
    assert ((constant.mean(axis=1) > 900) & (constant.mean(axis=1) < 10_500)).all()
    second = flux[movies.label == CLASSES[1]]
    np.testing.assert_allclose(second[:, 4] / second[:, 0], 0.2, atol=0.3)
    assert toy_task(movies, CLASSES).stamp_size == 41

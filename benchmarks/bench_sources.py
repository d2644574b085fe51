"""Accepted g light curves per second of every class beside LightCurveLynx's sine model, in one run: pytest benchmarks/bench_sources.py

28 epochs in 25 days, batches of 10,000 objects (`sample`, `light_curve` and `select`), one core. The last test prints the
ratios where LightCurveLynx is installed (``pip install skyreel[lightcurvelynx]``): over its own simulation, which adds noise
to the fluxes, and over the same without noise, as ours are. Add `-s` to see them.
"""

import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from skyreel.hydra_glue import compose
from skyreel.interfaces import CLASSES, Source
from skyreel.plugin import plugins

OBJECTS, EPOCHS, DAYS = 10_000, 28, 25.0
START = 57070.0
LYNX_OBJECTS = 1_000
ROUNDS = 5
CONFIG = compose("simulate", [f"source=[{','.join(CLASSES)}]"]).source


class Sky:
    """Epochs of one batch: 28 in 25 days, each object its own; a window of them."""

    def __init__(self, objects: int) -> None:
        rng = np.random.default_rng(1)
        self.mjd = START + np.sort(rng.uniform(0.0, DAYS, (objects, EPOCHS)), axis=1)
        self.window = self.mjd[:, [0, -1]]


SKY = Sky(OBJECTS)


def source(label: str) -> Source:
    """The class with the options of its config."""
    made: Source = plugins().registry.create("source", CONFIG[label])
    return made


def accepted(made: Source, seed: int) -> int:
    """Draws one batch; how many of its objects enter the catalogue."""
    rng = np.random.default_rng(seed)
    params = made.sample(OBJECTS, rng, window=SKY.window)
    band = np.full(SKY.mjd.shape, made.bands.index("g"), np.int8)
    light = made.light_curve(params, SKY.mjd, band)
    return int(made.select(params, light.mag, rng).sum())


@pytest.mark.parametrize("label", CLASSES)
def test_class(benchmark, label: str) -> None:
    made = source(label)
    benchmark.extra_info["accepted"] = accepted(made, 0)
    benchmark(accepted, made, 1)


def lynx_sine(noise: bool = True) -> Callable[[], int]:
    """Its sine model through its own simulation: as many epochs, in the LSST g band."""
    pytest.importorskip("lightcurvelynx", reason="no ratios: pip install skyreel[lightcurvelynx]")
    from lightcurvelynx.astro_utils.passbands import Passband, PassbandGroup
    from lightcurvelynx.math_nodes.np_random import NumpyRandomFunc
    from lightcurvelynx.models.basic_models import SinWaveModel
    from lightcurvelynx.obstable.opsim import OpSim
    from lightcurvelynx.simulate import simulate_lightcurves
    from lightcurvelynx.survey_info import SurveyInfo
    from speclite import filters

    curve = filters.load_filter("lsst2023-g")
    band = Passband(np.stack([curve.wavelength, curve.response], axis=1), "LSST", "g")
    constant = {"fieldRA": 10.0, "fieldDec": -10.0, "airmass": 1.2, "visitExposureTime": 30.0, "skyBrightness": 22.0, "seeingFwhmEff": 0.9}
    visits = {"observationStartMJD": SKY.mjd[0], "filter": np.full(EPOCHS, "g")}
    table = OpSim({**visits, **{name: np.full(EPOCHS, value) for name, value in constant.items()}})
    model = SinWaveModel(
        brightness=NumpyRandomFunc("uniform", low=1e4, high=1e5),
        amplitude=NumpyRandomFunc("uniform", low=1e3, high=8e3),
        frequency=NumpyRandomFunc("uniform", low=0.3, high=3.0),
        t0=START,
        ra=10.0,
        dec=-10.0,
        node_label="sine",
    )
    survey = SurveyInfo(table, passbands=PassbandGroup([band]), survey_name="LSST" if noise else "none")
    assert (survey.noise_model is not None) == noise

    def run() -> int:
        out = simulate_lightcurves(model, LYNX_OBJECTS, survey, rng=np.random.default_rng(1), progress_bar=False)
        assert (out["nobs"] == EPOCHS).all()
        return len(out)

    return run


def per_second(run: Callable[[], int]) -> float:
    """Objects per second of process time."""
    begin = time.process_time()
    objects = run()
    return objects / (time.process_time() - begin)


def test_ratios_over_lightcurvelynx() -> None:
    """Interleaved, process time, medians of five rounds."""
    sines = {"with noise": lynx_sine(), "without": lynx_sine(noise=False)}
    ours = {label: source(label) for label in CLASSES}
    for run in sines.values():
        run()
    for label in CLASSES:
        accepted(ours[label], 0)
    reference: dict[str, list[float]] = {name: [] for name in sines}
    rates: dict[str, list[float]] = {label: [] for label in CLASSES}
    for round_ in range(1, ROUNDS + 1):
        for name, run in sines.items():
            reference[name].append(per_second(run))
        for label in CLASSES:
            rates[label].append(per_second(lambda label=label, seed=round_: accepted(ours[label], seed)))
    said = ", ".join(f"{np.median(found):,.0f} {name}" for name, found in reference.items())
    print(f"\nLightCurveLynx's sine: {said} (light curves / s)")
    print("| class | accepted light curves / s | over LightCurveLynx (lowest to highest of 5 rounds) | over the same without noise |")
    print("|---|---|---|---|")
    for label in CLASSES:
        low, middle, high = np.percentile(np.divide(rates[label], reference["with noise"]), [0, 50, 100])
        quiet = np.median(np.divide(rates[label], reference["without"]))
        print(f"| {label} | {np.median(rates[label]):,.0f} | {middle:.0f} x ({low:.0f} to {high:.0f}) | {quiet:.0f} x |")

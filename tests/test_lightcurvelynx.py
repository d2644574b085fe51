"""LightCurveLynx's models as classes: their light is LightCurveLynx's own, draws obey the seed, what it would drop is an error."""

import importlib.util
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyreel.errors import BandError, ConfigError, DataError, DatasetError, PluginError
from skyreel.hydra_glue import compose
from skyreel.interfaces import LightCurve
from skyreel.plugin import plugins
from skyreel.simulate.run import build, simulation_config

lightcurvelynx = pytest.importorskip("lightcurvelynx")

import sncosmo  # noqa: E402
from lightcurvelynx.base_models import FunctionNode  # noqa: E402
from lightcurvelynx.math_nodes.np_random import NumpyRandomFunc  # noqa: E402
from lightcurvelynx.models.basic_models import ConstantSEDModel  # noqa: E402
from speclite import filters  # noqa: E402

from skyreel_lightcurvelynx import library  # noqa: E402
from skyreel_lightcurvelynx.source import LightCurveLynxSource  # noqa: E402
from skyreel_lightcurvelynx.survey import LightCurveLynxSurvey  # noqa: E402

BASIC = "lightcurvelynx.models.basic_models"
SNCOSMO = "lightcurvelynx.models.sncosmo_models.SncosmoWrapperModel"
MATH = "lightcurvelynx.math_nodes.basic_math_node.BasicMathNode"
WINDOW = (57070.0, 57095.0)
G = 1


def epochs(n: int = 6, per_object: int = 28, seed: int = 2) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).uniform(*WINDOW, (n, per_object)), axis=1)


def magnitudes(source: LightCurveLynxSource, params: dict, mjd: np.ndarray, band: int = G) -> np.ndarray:
    light = source.light_curve(params, mjd, np.full(mjd.shape, band, np.int8))
    assert isinstance(light, LightCurve)
    return light.mag


def hsiao(**options) -> LightCurveLynxSource:
    parameters = {"source_name": "hsiao-subsampled", "redshift": {"uniform": [0.02, 0.09]}, "amplitude": {"log_uniform": [1e-9, 1e-8]}}
    return LightCurveLynxSource(model=SNCOSMO, transient=True, days_before=15.0, **{"parameters": parameters, **options})


def wave(kind: str = "ConstantSEDModel", **parameters) -> LightCurveLynxSource:
    return LightCurveLynxSource(model=f"{BASIC}.{kind}", parameters=parameters)


# ------------------------------------------------------------------------------------------------ light


@pytest.mark.parametrize("band", range(6))
def test_a_sine_is_its_formula_in_every_band(band: int) -> None:
    source = LightCurveLynxSource()
    assert source.bands == ("u", "g", "r", "i", "z", "y")
    params, mjd = source.sample(6, np.random.default_rng(1)), epochs()
    p = {name: column[:, None] for name, column in params.items()}
    flux = p["brightness"] + p["amplitude"] * np.sin(2 * np.pi * p["frequency"] * (mjd - p["t0"]))  # nJy
    np.testing.assert_allclose(magnitudes(source, params, mjd, band), 31.4 - 2.5 * np.log10(flux), rtol=0, atol=1e-9)


def test_a_spectrum_is_weighted_by_the_filter_curve() -> None:
    source = wave("LinearWavelengthModel", linear_base=1000.0, linear_scale=5.0)
    params, mjd = source.sample(1, np.random.default_rng(1)), epochs(1, 1)
    for band, name in enumerate(("decam2014-u", "decam2014-g", "decam2014-r")):
        response = filters.load_filter(name)
        kept = np.flatnonzero(response.response >= 0.01 * response.response.max())
        part = slice(kept[0], kept[-1] + 1)
        waves, weight = response.wavelength[part], (response.response / response.wavelength)[part]
        expected = 31.4 - 2.5 * np.log10(np.trapezoid((1000.0 + 5.0 * waves) * weight, waves) / np.trapezoid(weight, waves))
        assert magnitudes(source, params, mjd, band)[0, 0] == pytest.approx(expected, abs=2e-3)


def test_a_wrapped_supernova_is_sncosmos_own() -> None:
    source, mjd = hsiao(), epochs(5)
    params = source.sample(5, np.random.default_rng(4), window=mjd[:, [0, -1]])
    curve = library.curve("decam2014-g")
    band = sncosmo.Bandpass(curve[:, 0], curve[:, 1], name="g")
    model = sncosmo.Model("hsiao-subsampled")
    for row, mag in enumerate(magnitudes(source, params, mjd)):
        model.set(z=params["redshift"][row], t0=params["t0"][row], amplitude=params["amplitude"][row])
        expected = model.bandmag(band, "ab", mjd[row])
        early = mjd[row] < model.mintime()
        assert np.isposinf(mag[early]).all()
        np.testing.assert_allclose(mag[~early], expected[~early], atol=1e-3)


def test_light_starts_with_the_first_phase_and_ends_with_the_last_one() -> None:
    source = hsiao()
    params = source.sample(1, np.random.default_rng(1))
    stretch = 1.0 + params["redshift"][0]
    first, last = (params["t0"][0] + phase * stretch for phase in (-20.0, 85.0))
    mag = magnitudes(source, params, np.array([[first - 0.1, first + 2.0, last - 0.1, last + 0.1]]))
    assert np.isinf(mag).tolist() == [[True, False, False, True]]
    steady = hsiao(parameters={**source.parameters, "t0": params["t0"][0]})
    steady.transient = False
    with pytest.raises(DataError, match=r"its model ends at .*transient: true"):
        magnitudes(steady, steady.sample(1, np.random.default_rng(1)), np.array([[last + 30.0]]))


def test_a_sum_of_models_is_the_sum_of_their_light() -> None:
    objects = [
        {"class": f"{BASIC}.ConstantSEDModel", "brightness": {"uniform": [1e4, 2e4]}, "node_label": "star"},
        {"class": f"{BASIC}.LinearTimeModel", "linear_base": 500.0, "linear_scale": 30.0, "t0": 57080.0, "node_label": "ramp"},
    ]
    source = LightCurveLynxSource(
        model="lightcurvelynx.models.multi_object_model.AdditiveMultiObjectModel", parameters={"objects": objects}
    )
    params, mjd = source.sample(4, np.random.default_rng(1)), epochs(4, 9)
    assert {"star.brightness", "ramp.linear_base"} <= set(params)
    flux = params["star.brightness"][:, None] + 500.0 + 30.0 * np.maximum(0.0, mjd - 57080.0)
    np.testing.assert_allclose(magnitudes(source, params, mjd), 31.4 - 2.5 * np.log10(flux), rtol=0, atol=1e-9)


def test_effects_change_the_light() -> None:
    plain = wave(brightness=1e4)
    scaled = wave(brightness=1e4)
    scaled.effects = [{"class": "lightcurvelynx.effects.basic_effects.ScaleFluxEffect", "flux_scale": {"uniform": [0.25, 0.5]}}]
    params, mjd = scaled.sample(3, np.random.default_rng(1)), epochs(3, 2)
    difference = magnitudes(scaled, params, mjd) - magnitudes(plain, plain.sample(3, np.random.default_rng(1)), mjd)
    np.testing.assert_allclose(difference, np.broadcast_to(-2.5 * np.log10(params["flux_scale"])[:, None], (3, 2)), atol=1e-9)


def test_no_light_is_inf_and_nan_is_an_error() -> None:
    dark = wave(brightness=-5.0)
    assert np.isposinf(magnitudes(dark, dark.sample(2, np.random.default_rng(1)), epochs(2, 3))).all()
    broken = wave(brightness=1.0)
    params = broken.sample(2, np.random.default_rng(1))
    params["brightness"][1] = np.nan
    with pytest.raises(DataError, match="gives NaN for object 1"):
        magnitudes(broken, params, epochs(2, 3))


# ------------------------------------------------------------------------------------------------ draws


@given(low=st.floats(1.0, 1e5), ratio=st.floats(1.0, 1e4), seed=st.integers(0, 2**32 - 1))
def test_draws_keep_to_their_limits_and_to_the_seed(low: float, ratio: float, seed: int) -> None:
    for word in ("uniform", "log_uniform"):
        source = wave(brightness={word: [low, low * ratio]})
        one, two = (source.sample(40, np.random.default_rng(seed))["brightness"] for _ in range(2))
        np.testing.assert_array_equal(one, two)
        assert ((one >= low * (1 - 1e-12)) & (one <= low * ratio * (1 + 1e-12))).all()


def test_draws_follow_their_laws() -> None:
    rng = np.random.default_rng(3)
    drawn = wave("LinearTimeModel", linear_base={"normal": [5.0, 2.0]}, linear_scale={"choice": [1.0, 4.0]}, t0=0.0).sample(4000, rng)
    assert drawn["linear_base"].mean() == pytest.approx(5.0, abs=4 * 2.0 / np.sqrt(4000))
    assert drawn["linear_base"].std() == pytest.approx(2.0, rel=0.06)
    assert set(drawn["linear_scale"]) == {1.0, 4.0}
    assert (drawn["linear_scale"] == 4.0).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(4000))
    flat = wave(brightness={"log_uniform": [10.0, 1000.0]}).sample(4000, rng)["brightness"]
    assert (flat < 100.0).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(4000))


def test_parameters_share_a_node() -> None:
    nodes = {"z": {"uniform": [0.02, 0.09]}, "dimming": {"class": MATH, "expression": "1e-12 / z**2", "z": {"of": "z"}}}
    parameters = {"source_name": "hsiao-subsampled", "redshift": {"of": "z"}, "amplitude": {"of": "dimming"}}
    params = hsiao(nodes=nodes, parameters=parameters).sample(20, np.random.default_rng(1))
    assert len(set(params["redshift"])) == 20
    np.testing.assert_allclose(params["amplitude"], 1e-12 / params["redshift"] ** 2, rtol=1e-12)


def test_transients_take_place_in_their_window() -> None:
    source = hsiao(host_fraction=0.6, days_after=5.0)
    window = np.array([[57000.0, 57020.0], [58000.0, 58020.0]] * 50)
    t0 = source.sample(100, np.random.default_rng(1), window=window)["t0"]
    assert ((t0 >= window[:, 0] - 15.0) & (t0 <= window[:, 1] + 5.0)).all()
    assert (t0 < window[:, 0]).any()
    assert source.triggers
    policy = source.host_policy
    assert (policy.fraction, policy.redshift, policy.offset) == (0.6, "redshift", "light")
    assert not LightCurveLynxSource().triggers
    assert LightCurveLynxSource().host_policy.redshift is None


def test_no_objects_and_one_object() -> None:
    for source in (hsiao(), LightCurveLynxSource()):
        for n in (0, 1):
            params = source.sample(n, np.random.default_rng(1))
            assert all(column.shape == (n,) for column in params.values())
            assert magnitudes(source, params, epochs(max(n, 1), 3)[:n]).shape == (n, 3)


def test_a_model_built_in_python() -> None:
    model = ConstantSEDModel(brightness=NumpyRandomFunc("uniform", low=1e4, high=2e4), node_label="mine")
    source = LightCurveLynxSource.of(model, filter_set="lsst2023")
    params, mjd = source.sample(3, np.random.default_rng(1)), epochs(3, 2)
    expected = np.broadcast_to(31.4 - 2.5 * np.log10(params["brightness"])[:, None], (3, 2))
    np.testing.assert_allclose(magnitudes(source, params, mjd), expected, atol=1e-9)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(magnitudes(again, params, mjd), magnitudes(source, params, mjd))


class OwnNumbers(FunctionNode):
    """Draws from a generator of its own, whatever it is given."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.mine = np.random.default_rng(1)

    def compute(self, graph_state, rng_info=None, **kwargs):
        drawn = self.mine.uniform(1.0, 2.0, graph_state.num_samples)
        self._save_results(drawn, graph_state)
        return drawn


def test_random_numbers_of_its_own_are_refused() -> None:
    with pytest.raises(ConfigError, match="'brightness': two draws from the same generator differ"):
        LightCurveLynxSource.of(ConstantSEDModel(brightness=OwnNumbers()))


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "lightcurvelynx.models.basic_models.SineModel"}, r"has no such class.*did you mean 'SinWaveModel'"),
        ({"model": "lightcurvelynx.models.nowhere.Model"}, r"ModuleNotFoundError"),
        ({"model": "os.path.PathLike"}, r"is not in lightcurvelynx; name .* or add the package"),
        ({"model": "SinWaveModel"}, r"is not in lightcurvelynx"),
        ({"model": "lightcurvelynx.astro_utils.passbands.Path"}, r"it belongs to pathlib"),
        ({"model": "lightcurvelynx.graph_state.GraphState"}, r"is no BasePhysicalModel"),
        ({"parameters": {"brigthness": 1.0}}, r"parameters.brigthness: SinWaveModel has no such parameter; did you mean 'brightness'"),
        (
            {"model": SNCOSMO, "parameters": {"source_name": "hsiao-subsampled", "x0": 1.0}},
            r"x0: SncosmoWrapperModel has no such parameter",
        ),
        ({"model": SNCOSMO, "parameters": {}}, r"TypeError: .*source_name"),
        ({"parameters": {"brightness": {"uniform": [2, 1]}}}, r"brightness.uniform: \[2, 1\]"),
        ({"parameters": {"brightness": {"log_uniform": [0, 1]}}}, r"both must be positive"),
        ({"parameters": {"brightness": {"normal": [0, -1]}}}, r"standard deviation -1"),
        ({"parameters": {"brightness": {"uniform": 3}}}, r"give a list of values"),
        ({"parameters": {"brightness": {"uniform": [1, "x"]}}}, r"two finite numbers"),
        ({"parameters": {"brightness": {"gamma": [1, 2]}}}, r"one of uniform, log_uniform, normal, choice, class, of"),
        ({"parameters": {"brightness": {"of": "z"}}}, r"no such node; nodes before it: none"),
        ({"nodes": {"z": {"uniform": [0, 1]}}, "parameters": {"brightness": {"of": "z.lo"}}}, r"'z.lo': no such parameter"),
        ({"effects": [{"class": f"{BASIC}.SinWaveModel"}]}, r"effects\[0\]"),
    ],
)
def test_bad_recipes_are_named(options: dict, message: str) -> None:
    source = LightCurveLynxSource(**options)
    with pytest.raises(ConfigError, match=message):
        source.sample(2, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host_fraction": 1.5}, "host_fraction"),
        ({"filter_set": None}, "filter_set, bandpasses"),
        ({"days_before": float("nan")}, "days_before"),
    ],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LightCurveLynxSource(**options)


def test_unknown_filter_curves_are_named() -> None:
    with pytest.raises(ConfigError, match=r"filter_set 'decam2041': unknown; did you mean 'decam2014'"):
        assert LightCurveLynxSource(filter_set="decam2041").bands
    source = LightCurveLynxSource(filter_set=None, bandpasses={"g": "decam2014-q"})
    with pytest.raises(ConfigError, match=r"decam2014 has no q; its bands are u, g, r, i, z, y"):
        magnitudes(source, source.sample(1, np.random.default_rng(1)), epochs(1, 1), 0)


def test_bands_beyond_the_spectrum_are_refused() -> None:
    source = wave("LinearWavelengthModel", linear_base=1.0, linear_scale=1.0, min_wave=3000.0, max_wave=8000.0)
    params = source.sample(1, np.random.default_rng(1))
    with pytest.raises(DataError, match=r"band z .* at redshift 0.000: LinearWavelengthModel is defined from 3000 to 8000 angstrom"):
        magnitudes(source, params, epochs(1, 2), 4)
    far = hsiao()
    params = far.sample(1, np.random.default_rng(1))
    params["redshift"][:] = 4.0
    with pytest.raises(DataError, match=r"band u .* at redshift 4.000: SncosmoWrapperModel is defined from 1000"):
        magnitudes(far, params, params["t0"][:, None], 0)


def test_bad_epochs_are_refused() -> None:
    source, mjd = LightCurveLynxSource(), epochs(3, 4)
    params = source.sample(3, np.random.default_rng(1))
    with pytest.raises(BandError, match="band index 6"):
        magnitudes(source, params, mjd, 6)
    with pytest.raises(DataError, match="objects, epochs"):
        magnitudes(source, params, mjd[:2])
    with pytest.raises(DataError, match="not finite"):
        magnitudes(source, params, np.where(mjd == mjd[0, 0], np.nan, mjd))
    del params["t0"]
    with pytest.raises(DataError, match="params lack t0"):
        magnitudes(source, params, mjd)


def test_a_failed_download_is_no_traceback() -> None:
    def fail() -> None:
        raise OSError("network is unreachable")

    with pytest.raises(DatasetError, match="network is unreachable; it reads a file or a server"), library.refusals("model", ""):
        fail()


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "lightcurvelynx" else find(name, *rest))
    for kind, cls in (("source", LightCurveLynxSource), ("survey", LightCurveLynxSurvey)):
        message = rf"{kind} 'lightcurvelynx': lightcurvelynx not installed; run: pip install skyreel\[lightcurvelynx\]"
        with pytest.raises(PluginError, match=message):
            cls()


# ------------------------------------------------------------------------------------------------ configs


def test_two_classes_of_it_under_labels_of_their_own() -> None:
    model = f"{{name: lightcurvelynx, model: {BASIC}.ConstantSEDModel, parameters: {{brightness: {{uniform: [20000, 30000]}}}}}}"
    config = compose("simulate", ["source=[lightcurvelynx,non_variable]", f"+source.lamp={model}", "survey.n_fields=10"])
    assert plugins().registry.create("source", config.source.lamp).model == f"{BASIC}.ConstantSEDModel"
    simulation = build(simulation_config(config))
    assert tuple(simulation.sources) == ("non_variable", "lamp", "lightcurvelynx")
    block = simulation.block("test", "lamp", 0)
    brightness = block.truth.params["brightness"]
    assert ((brightness >= 2e4) & (brightness <= 3e4)).all()
    # counts = 10^(-0.4 (m - zero point)) exptime of the true exposures
    true = block.truth.exposures
    expected = brightness[:, None] * 10 ** (-0.4 * (31.4 - true.zero_point.astype(float))) * true.exptime
    np.testing.assert_allclose(block.truth.flux[block.frame_mask], expected[block.frame_mask], rtol=1e-4)

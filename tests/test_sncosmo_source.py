"""sncosmo's sources as classes: the light curves are sncosmo's own, the population is as the options say, errors are typed."""

import io
import pickle
import socket
import urllib.request
from dataclasses import asdict

import numpy as np
import pytest
from omegaconf import OmegaConf

from skyreel.errors import BandError, ConfigError, DataError, DatasetError, PluginError
from skyreel.hydra_glue import compose
from skyreel.interfaces import Params
from skyreel.plugin import conf_dir, plugins

sncosmo = pytest.importorskip("sncosmo")
pytest.importorskip("speclite")

from astropy.cosmology import FlatLambdaCDM  # noqa: E402
from sncosmo.models import BicubicInterpolator  # noqa: E402

from skyreel_sncosmo import library  # noqa: E402
from skyreel_sncosmo.source import SncosmoSource  # noqa: E402
from skyreel_sncosmo.tables import Axis  # noqa: E402

COSMOLOGY = FlatLambdaCDM(70.0, 0.3)
WINDOW = (57000.0, 57030.0)
COLOUR_LAW = """4
-0.504294
0.787691
-0.461715
0.0815619
Salt2ExtinctionLaw.version 1
Salt2ExtinctionLaw.min_lambda 2800
Salt2ExtinctionLaw.max_lambda 7000
"""
"""Coefficients of the kind that SALT2 uses; the spectra of the toy are made up."""


class ToySalt(sncosmo.SALT2Source):
    """A SALT2 source of smooth made-up components: the real ones need a download."""

    def __init__(self) -> None:
        self.name, self.version = "toy-salt", "1"
        self._phase, self._wave = np.linspace(-20.0, 50.0, 71), np.arange(2000.0, 9201.0, 20.0)
        width = np.where(self._phase < 0, 7.0, 14.0)[:, None]
        mean = np.exp(-0.5 * (self._phase[:, None] / width) ** 2 - ((self._wave - 4500) / 2500) ** 2) * (1 + 0.5 * np.sin(self._wave / 300))
        slope = 0.1 * mean * np.cos(self._phase / 15)[:, None] * np.sin(self._wave / 500)
        self._model = {name: BicubicInterpolator(self._phase, self._wave, grid) for name, grid in (("M0", mean), ("M1", slope))}
        self._parameters = np.array([1.0, 0.0, 0.0])
        self._set_colorlaw_from_file(io.StringIO(COLOUR_LAW))


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    """Sources made here: a SALT2, a time series with an abrupt start, one whose shape has a parameter."""
    phase, wave = np.linspace(0.0, 40.0, 41), np.linspace(2500.0, 12000.0, 200)
    flux = np.exp(-phase / 12.0)[:, None] * (wave / 5000.0) ** -2.0
    hsiao = sncosmo.get_source("hsiao-subsampled")
    spectra = np.clip(hsiao.flux(hsiao._phase, hsiao._wave[:400]), 0, None)
    sncosmo.register(ToySalt(), name="toy-salt", force=True)
    sncosmo.register(sncosmo.TimeSeriesSource(phase, wave, flux, name="toy-flash"), force=True)
    sncosmo.register(sncosmo.StretchSource(hsiao._phase, hsiao._wave[:400], spectra, name="toy-stretch"), force=True)


def epochs(n: int, epochs: int = 20, around: float = 80.0) -> np.ndarray:
    return np.sort(np.random.default_rng(5).uniform(WINDOW[0] - around, WINDOW[1] + around, (n, epochs)), axis=1)


def drawn(source: SncosmoSource, n: int, seed: int = 3) -> Params:
    return source.sample(n, np.random.default_rng(seed), window=np.tile(WINDOW, (n, 1)))


def reference(source: SncosmoSource, params: Params, mjd: np.ndarray, band: str) -> np.ndarray:
    """Magnitudes by ``sncosmo.Model``, NaN outside its phases."""
    effects = [library.dust_effect(source.dust_law, r_v) for r_v in (source.host_r_v, 3.1)]
    model = sncosmo.Model(sncosmo.get_source(source.model), effects, ["host", "mw"], ["rest", "obs"])
    curve = library.curve(source.curves[band])
    out = np.full(mjd.shape, np.nan)
    for row in range(len(mjd)):
        model.set(**dict(source.recipe.fixed), **{name: params[name][row] for name in source.varying})
        model.set(z=params["redshift"][row], t0=params["t0"][row], hostebv=params["host_ebv"][row], mwebv=source.mw_ebv)
        peak = library.curve(source.absolute_band)
        model.set_source_peakabsmag(params["absolute_mag"][row], peak, "ab", sampling=0.25, cosmo=COSMOLOGY)
        here = (mjd[row] >= model.mintime()) & (mjd[row] <= model.maxtime())
        if here.any():
            flux = model.bandflux(curve, mjd[row, here], zp=0.0, zpsys="ab")
            out[row, here] = -2.5 * np.log10(np.where(flux > 0, flux, np.nan))
    return out


CASES = {
    "hsiao": {},
    "dust": {"redshift_max": 1.0, "redshift_law": "uniform", "host_ebv": 0.1, "mw_ebv": 0.05},
    "od94": {"host_ebv": 0.2, "host_r_v": 2.3, "dust_law": "od94"},
    "f99": {"host_ebv": 0.1, "dust_law": "f99", "absolute_band": "decam2014-r"},
    "salt": {
        "model": "toy-salt",
        "redshift_max": 0.4,
        "parameters": {"x1": [0.0, 1.0], "c": [0.0, 0.1, -0.2, 0.5]},
        "mag_slopes": {"x1": -0.14, "c": 3.1},
        "host_ebv": 0.03,
    },
    "salt, x1 fixed": {"model": "toy-salt", "redshift_max": 0.4, "parameters": {"x1": [1.0, 0.0], "c": [0.0, 0.1]}},
    "salt, all fixed": {"model": "toy-salt", "redshift_max": 0.4, "parameters": {"x1": [-2.0, 0.0], "c": [0.2, 0.0]}},
    "abrupt": {"model": "toy-flash", "redshift_max": 0.5, "absolute_band": "bessellv"},
    "one by one": {"model": "toy-stretch", "parameters": {"s": [1.0, 0.1]}, "host_ebv": 0.05},
}


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("band", ["g", "i"])
def test_light_curves_are_those_of_sncosmo(case: str, band: str) -> None:
    """0.01 mag wherever the object is within 6 mag of its absolute magnitude; redshift, dust and shape at random."""
    n = 20
    source = SncosmoSource(**CASES[case])
    params, mjd = drawn(source, n), epochs(n)
    mag = source.light_curve(params, mjd, np.full(mjd.shape, source.bands.index(band), np.int8)).mag
    expected = reference(source, params, mjd, band)
    depth = expected - (params["absolute_mag"] + COSMOLOGY.distmod(params["redshift"]).value)[:, None]
    bright = depth < 6.0
    assert bright.sum() > 50
    assert np.abs(mag - expected)[bright].max() <= 0.01


@pytest.mark.parametrize("case", ["dust", "salt", "one by one"])
def test_an_object_and_an_epoch_alone_are_the_same_bytes(case: str) -> None:
    source = SncosmoSource(**CASES[case])
    params, mjd = drawn(source, 12), epochs(12)
    band = np.random.default_rng(1).integers(1, 4, mjd.shape).astype(np.int8)
    whole = source.light_curve(params, mjd, band).mag
    for rows, columns in ((slice(3, 4), slice(None)), (slice(None, None, -1), slice(None)), (slice(2, 9), slice(5, 6))):
        part = {name: column[rows] for name, column in params.items()}
        alone = source.light_curve(part, mjd[rows, columns], band[rows, columns]).mag
        np.testing.assert_array_equal(alone, whole[rows, columns])


def test_many_bands_at_once_are_the_bands_one_by_one() -> None:
    source = SncosmoSource()
    params, mjd = drawn(source, 8), epochs(8)
    band = np.random.default_rng(1).integers(0, 6, mjd.shape).astype(np.int8)
    mixed = source.light_curve(params, mjd, band).mag
    for index in range(6):
        alone = source.light_curve(params, mjd, np.full(mjd.shape, index, np.int8)).mag
        np.testing.assert_array_equal(mixed[band == index], alone[band == index])


@pytest.mark.parametrize("model", ["toy-flash", "toy-stretch"])
def test_no_light_before_the_model_and_a_steady_decline_after_it(model: str) -> None:
    """After its end exp(-t / 12 d) goes on as such: 2.5 log10(e) / 12 mag / d, stretched by 1 + z."""
    options = {"parameters": {"s": [1.0, 0.1]}} if model == "toy-stretch" else {}
    source = SncosmoSource(model=model, absolute_band="bessellv", redshift_min=0.5, redshift_max=0.5, redshift_law="uniform", **options)
    params = drawn(source, 3)
    low, high = (-20.0, 85.0) if model == "toy-stretch" else (0.0, 40.0)
    stretch = params.get("s", np.ones(3))
    start, end = (params["t0"] + 1.5 * stretch * phase for phase in (low, high))
    mjd = np.stack([start - 1e-3, start + 1.5 * 4, end, end + 30, end + 60], axis=1)
    mag = source.light_curve(params, mjd, np.full(mjd.shape, 1, np.int8)).mag
    assert np.isposinf(mag[:, 0]).all()
    assert np.isfinite(mag[:, 1:]).all()
    if model == "toy-flash":
        np.testing.assert_allclose(np.diff(mag[:, 2:], axis=1), 30 * 2.5 / np.log(10) / 12 / 1.5, rtol=1e-4)
    else:
        late = np.diff(mag[:, 2:], axis=1)
        np.testing.assert_allclose(late[:, 0], late[:, 1], rtol=1e-9)
        assert (late > 0).all()


def test_redshifts_follow_the_volume() -> None:
    """At low redshift the number grows as z**3; a rate that rises as (1+z)**4 has a larger median."""
    near = SncosmoSource(redshift_max=0.01)
    redshift = drawn(near, 20_000)["redshift"]
    assert np.abs(np.mean(redshift < 0.005) - 0.125) < 3 * np.sqrt(0.125 * 0.875 / 20_000) + 0.002
    medians = [np.median(drawn(SncosmoSource(redshift_max=1.0, rate_slope=slope), 20_000)["redshift"]) for slope in (0.0, 4.0)]
    shells = np.linspace(0, 1, 1001)
    density = COSMOLOGY.differential_comoving_volume(shells).value
    for slope, median in zip((0.0, 4.0), medians, strict=True):
        cumulative = np.cumsum(density * (1 + shells) ** (slope - 1))
        assert abs(median - np.interp(0.5, cumulative / cumulative[-1], shells)) < 0.01


def test_parameters_dates_and_luminosities_follow_the_options() -> None:
    options = {"parameters": {"x1": [0.5, 1.0, -1.0, 2.0], "c": [0.0, 0.1]}, "mag_slopes": {"c": 3.0}, "host_ebv": 0.1}
    source = SncosmoSource(
        model="toy-salt", redshift_max=0.4, absolute_mag=-19.0, absolute_mag_scatter=0.1, days_before=20.0, days_after=5.0, **options
    )
    params = drawn(source, 20_000)
    assert -1.0 <= params["x1"].min() < -0.99 < 1.99 < params["x1"].max() <= 2.0
    assert np.abs(params["c"]).max() <= 0.3
    assert params["c"].std() == pytest.approx(0.1 * 0.9866, rel=0.02), "a normal cut at 3 standard deviations"
    assert params["host_ebv"].mean() == pytest.approx(0.1, rel=0.03)
    rest = params["absolute_mag"] - 3.0 * params["c"]
    assert (rest.mean(), rest.std()) == (pytest.approx(-19.0, abs=0.005), pytest.approx(0.1, rel=0.03))
    assert WINDOW[0] - 20 <= params["t0"].min() < WINDOW[0] - 19.9
    assert WINDOW[1] + 4.9 < params["t0"].max() <= WINDOW[1] + 5
    assert set(params) == {"redshift", "t0", "absolute_mag", "host_ebv", "x1", "c"}


def test_a_fixed_parameter_adds_its_slope_too() -> None:
    shared = {"model": "toy-salt", "redshift_max": 0.4, "mag_slopes": {"c": 3.0}}
    plain, red = (SncosmoSource(parameters={"c": [c, 0.0]}, **shared) for c in (0.0, 0.2))
    np.testing.assert_allclose(drawn(red, 5)["absolute_mag"] - drawn(plain, 5)["absolute_mag"], 0.6)


def test_peak_is_the_absolute_magnitude() -> None:
    """At redshift 0.01 and in the band of the peak, without dust: m = M + distance modulus, to the K-correction of z = 0.01."""
    options = {"filter_set": None, "bandpasses": {"b": "bessellb"}, "redshift_law": "uniform", "redshift_max": 0.01, "redshift_min": 0.01}
    source = SncosmoSource(absolute_mag=-19.0, absolute_mag_scatter=0.0, **options)
    params = drawn(source, 1)
    mjd = params["t0"][:, None] + np.linspace(-5, 5, 201)
    brightest = source.light_curve(params, mjd, np.zeros(mjd.shape, np.int8)).mag.min()
    assert brightest == pytest.approx(-19.0 + COSMOLOGY.distmod(0.01).value, abs=0.03)


@pytest.mark.parametrize("low", [0.0, -3.0])
def test_cubic_weights_are_exact_for_cubics(low: float) -> None:
    axis = Axis.over(low, low + 2.0, 0.1)
    value = np.linspace(low, low + 2.0, 57)
    first, weight = axis.weights(value)
    cubic = axis.nodes**3 - 2 * axis.nodes
    np.testing.assert_allclose(sum(cubic[first + k] * weight[:, k] for k in range(4)), value**3 - 2 * value, atol=1e-12)


# ----------------------------------------------------------------------------------------------- bands


def test_bands_are_an_option() -> None:
    assert SncosmoSource().bands == ("u", "g", "r", "i", "z", "y")
    assert SncosmoSource(filter_set="lsst2023").bands == ("u", "g", "r", "i", "z", "y")
    assert SncosmoSource(filter_set="sdss2010").bands == ("u", "g", "r", "i", "z")
    assert SncosmoSource(filter_set=None, bandpasses={"v": "bessellv", "g": "decam2014-g"}).bands == ("v", "g")
    mixed = SncosmoSource(bandpasses={"g": "lsst2023-g"})
    assert (mixed.bands[1], mixed.curves["g"], mixed.curves["r"]) == ("g", "lsst2023-g", "decam2014-r")


def test_trimmed_curves_keep_the_light() -> None:
    """What `library.TRIM` says of the wings of decam2014."""
    from speclite import filters

    lost = {}
    for band, name in library.group_bands("decam2014").items():
        whole, kept = filters.load_filter(name), library.curve(name)
        photons = whole.wavelength * whole.response
        inside = (whole.wavelength >= kept.minwave()) & (whole.wavelength <= kept.maxwave())
        lost[band] = 1 - photons[inside].sum() / photons.sum()
    assert lost["u"] < 0.031
    assert lost["g"] < 0.0082
    assert max(value for band, value in lost.items() if band not in "ug") < 0.0062


# ----------------------------------------------------------------------------------------------- errors


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """No network, and sncosmo's cache is empty."""

    def refused(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("SNCOSMO_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("sncosmo.builtins.DATADIR._checked_rootdir", None)
    monkeypatch.setattr(urllib.request, "urlopen", refused)


@pytest.mark.usefixtures("offline")
def test_a_model_that_cannot_be_downloaded() -> None:
    said = r"model 'nugent-sn91bg': sncosmo wants to download it and cannot \(URLError: .*no route.*\); run once with a network: python -c"
    with pytest.raises(DatasetError, match=said + r".*sncosmo.get_source\('nugent-sn91bg'\).*or choose a model that needs none: hsiao"):
        SncosmoSource(model="nugent-sn91bg").sample(1, np.random.default_rng(1))
    assert socket.getdefaulttimeout() is None


@pytest.mark.usefixtures("offline")
def test_a_filter_curve_that_cannot_be_downloaded() -> None:
    source = SncosmoSource(filter_set=None, bandpasses={"g": "ztfg"})
    with pytest.raises(DatasetError, match=r"filter curve 'ztfg': sncosmo wants to download it.*get_bandpass\('ztfg'\).*decam2014-g"):
        source.light_curve(drawn(source, 1), np.full((1, 1), WINDOW[0]), np.zeros((1, 1), np.int8))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "nugent-sn91bq"}, "model 'nugent-sn91bq': unknown to sncosmo .*did you mean 'nugent-sn91bg'"),
        ({"version": "9"}, "version '9': no such version of hsiao-subsampled; choose one of 3.0"),
        ({"parameters": {"amplitude": [1, 0]}}, "parameters.amplitude: is set by absolute_mag; it has none besides"),
        ({"model": "toy-salt", "parameters": {"s": [1, 0]}}, "parameters.s: is no parameter of toy-salt; it has x1, c"),
        ({"model": "toy-salt", "mag_slopes": {"c": 3.1}}, "mag_slopes.c: c is not in parameters"),
    ],
)
def test_options_that_sncosmo_does_not_know(options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SncosmoSource(**options).sample(1, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"redshift_law": "flat"}, "redshift_law: 'flat'; choose one of volume, uniform"),
        ({"redshift_min": 0.5}, "redshift_min, redshift_max: 0.5, 0.3"),
        ({"dust_law": "smc"}, "dust_law: 'smc'; choose one of ccm89, od94, f99"),
        ({"host_ebv": -0.1}, "host_ebv: -0.1; choose 0 or a positive"),
        ({"host_r_v": 0.0}, "host_r_v: 0.0"),
        ({"host_fraction": 1.2}, "host_fraction: 1.2; choose a share"),
        ({"parameters": {"c": ["a", 1.0]}}, r"parameters.c: \['a', 1.0\]; give \[mean"),
        ({"parameters": {"c": [0.0]}}, r"parameters.c: \[0.0\]; give \[mean"),
        ({"parameters": {"c": [0.0, 1.0, 0.5, 1.0]}}, "the mean between the limits"),
        ({"filter_set": None}, "filter_set, bandpasses: none"),
        ({"filter_set": "decam2015"}, "filter_set 'decam2015': unknown; did you mean 'decam2014'"),
    ],
)
def test_options_out_of_range(options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _ = SncosmoSource(**options).bands


def test_curves_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match="filter curve 'decam2014-q': decam2014 has no q; choose one of u, g"):
        library.curve("decam2014-q")
    with pytest.raises(ConfigError, match="filter curve 'nosuch': unknown to sncosmo and speclite"):
        library.curve("nosuch")


def test_a_filter_beyond_the_spectrum_names_the_redshifts() -> None:
    source = SncosmoSource(model="toy-salt", redshift_max=1.2)
    params = drawn(source, 4)
    mjd = epochs(4)
    said = "decam2014-g at redshift 1.2: the spectrum of toy-salt ends at 2000 and 9200 angstrom; it covers .* from 0.000 to 0.9"
    with pytest.raises(DataError, match=said):
        source.light_curve(params, mjd, np.ones(mjd.shape, np.int8))
    with pytest.raises(DataError, match="decam2014-Y at redshift 0: .*for redshifts from 0.1"):
        source.light_curve(params, mjd, np.full(mjd.shape, 5, np.int8))
    far = SncosmoSource(model="toy-stretch", parameters={"s": [1.0, 0.1]}, redshift_law="uniform", redshift_min=4.0, redshift_max=5.0)
    with pytest.raises(DataError, match="decam2014-u at redshift .*for redshifts from 0.000 to 2"):
        far.light_curve(drawn(far, 2), epochs(2), np.zeros((2, 20), np.int8))


def test_light_curve_refuses_what_it_cannot_mean() -> None:
    source = SncosmoSource()
    params, mjd = drawn(source, 3), epochs(3)
    band = np.ones(mjd.shape, np.int8)
    with pytest.raises(DataError, match=r"mjd \(2, 20\), band \(3, 20\), 3 objects"):
        source.light_curve(params, mjd[:2], band)
    with pytest.raises(DataError, match="not finite"):
        source.light_curve(params, np.where(mjd > 0, np.nan, mjd), band)
    with pytest.raises(BandError, match=r"band index 6\.\.6; indices count into u, g"):
        source.light_curve(params, mjd, band + 5)
    with pytest.raises(DataError, match="redshift of object 2: 0.7; the options of the class allow 0 to 0.3"):
        source.light_curve({**params, "redshift": np.array([0.1, 0.1, 0.7])}, mjd, band)
    with pytest.raises(DataError, match="redshift of object 1: 0; a distance needs a positive redshift"):
        source.light_curve({**params, "redshift": np.array([0.1, 0.0, 0.1])}, mjd, band)
    with pytest.raises(DataError, match="t0 of object 0: nan"):
        source.light_curve({**params, "t0": np.full(3, np.nan)}, mjd, band)
    with pytest.raises(DataError, match="params: no column absolute_mag, t0; hand in what `sample` returned"):
        source.light_curve({name: params[name] for name in ("redshift", "host_ebv")}, mjd, band)


def test_without_sncosmo_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"source 'sncosmo': sncosmo and speclite not installed; run: pip install skyreel\[sncosmo\]"):
        SncosmoSource()


# ----------------------------------------------------------------------------------------------- configs


def test_defaults_equal_the_config_file() -> None:
    text = (conf_dir() / "source" / "sncosmo.yaml").read_text(encoding="utf-8")
    assert text.startswith("# @package source.sncosmo\n")
    assert OmegaConf.to_container(OmegaConf.create(text)) == {"name": "sncosmo", **asdict(SncosmoSource())}


def test_two_classes_of_different_labels_from_the_command_line() -> None:
    flash = "+source.flash={name:sncosmo,model:toy-flash,absolute_mag:-17,redshift_max:0.1,absolute_band:bessellv}"
    config = compose("simulate", ["+source=sncosmo", flash, "+source.sncosmo.bandpasses.v=bessellv", "source.sncosmo.redshift_max=0.2"])
    assert list(config.source)[-2:] == ["sncosmo", "flash"]
    made = [plugins().registry.create("source", config.source[label]) for label in ("sncosmo", "flash")]
    assert made[0].bands[-1] == "v"
    assert (made[0].redshift_max, made[1].model, made[1].absolute_mag) == (0.2, "toy-flash", -17.0)


def test_parameters_from_the_command_line() -> None:
    config = compose("simulate", ["+source=sncosmo", "+source.sncosmo.parameters={x1:[0,1],c:[0,0.1]}", "+source.sncosmo.mag_slopes.c=3"])
    made = plugins().registry.create("source", config.source.sncosmo)
    assert (made.parameters, made.mag_slopes) == ({"x1": [0.0, 1.0], "c": [0.0, 0.1]}, {"c": 3.0})


def test_survives_pickling_after_use() -> None:
    source = SncosmoSource()
    params, mjd = drawn(source, 2), epochs(2)
    band = np.ones(mjd.shape, np.int8)
    first = source.light_curve(params, mjd, band).mag
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).light_curve(params, mjd, band).mag, first)

"""The complete examples of docs/your_own_*.md work as printed and stay under 40 lines."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from skyreel.plugin import Plugins
from skyreel.seeding import Seeds

DOCS = Path(__file__).parents[1] / "docs"


def load(page: str, module: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The page's Python block as a plugin of its own; returns a registry that holds it alone."""
    code = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.S | re.M)[0]
    assert code.count("\n") < 40
    (folder / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, module, raising=False)
    plugins = Plugins()
    plugins.add(importlib.import_module(module), module)
    return plugins.registry


def test_your_own_survey(tmp_path, monkeypatch):
    registry = load("your_own_survey.md", "skyreel_nightly", tmp_path, monkeypatch)
    survey = registry.create("survey", {"name": "nightly", "nights": 12})
    exposures = survey.sample(6, Seeds(1))
    exposures.check("nightly")
    assert exposures.shape == (6, 12)
    assert exposures.bands == survey.bands == ("r",)
    np.testing.assert_array_equal(exposures.mjd, survey.sample(6, Seeds(1)).mjd)
    assert not np.array_equal(exposures.mjd, survey.sample(6, Seeds(1, block=1)).mjd)
    assert len(np.unique(exposures.exposure_id)) == 72
    # a star at the limit gives 5 times the noise of the sky under it
    counts = exposures.exptime * 10 ** (0.4 * (exposures.zero_point - exposures.limiting_mag))
    variance = 2.266 * exposures.psf_fwhm**2 * (exposures.sky / exposures.gain + (exposures.read_noise / exposures.gain) ** 2)
    np.testing.assert_allclose(counts, 5 * np.sqrt(variance), rtol=1e-4)
    assert survey.detect(exposures, exposures.limiting_mag - 0.1).all()


def test_your_own_class(tmp_path, monkeypatch):
    registry = load("your_own_class.md", "skyreel_microlensing", tmp_path, monkeypatch)
    source = registry.create("source", {"name": "microlensing", "time_scale": 10.0})
    window = np.array([[57070.0, 57095.0]] * 50)
    params = source.sample(50, np.random.default_rng(0), window=window)
    assert ((params["peak_mjd"] > 57070) & (params["peak_mjd"] < 57095)).all()
    peak = source.light_curve(params, params["peak_mjd"][:, None], np.full((50, 1), 1, np.int8)).mag
    rest = source.light_curve(params, params["peak_mjd"][:, None] + 1e5, np.full((50, 1), 1, np.int8)).mag
    u = params["impact"][:, None]
    np.testing.assert_allclose(rest - peak, 2.5 * np.log10((u**2 + 2) / (u * np.sqrt(u**2 + 4))), atol=1e-4)
    np.testing.assert_allclose(rest[:, 0], params["mag"], atol=1e-4)
    day = np.array([[-3.0, 3.0]]) + params["peak_mjd"][:, None]
    twins = source.light_curve(params, day, np.full((50, 2), 2, np.int8)).mag
    np.testing.assert_allclose(twins[:, 0], twins[:, 1], atol=1e-6)

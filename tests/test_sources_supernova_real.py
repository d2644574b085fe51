"""SNe against the real light curves of HiTS, and the SN Ia table against the spectra it comes from."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skyreel.evaluate.distances import distance
from skyreel_sources import tables
from skyreel_sources.supernova import Supernova
from skyreel_sources.tables import fit_supernova as fit

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def real(data_dir):
    return fit.read(data_dir)


@pytest.fixture(scope="module")
def script():
    folder = str(Path(__file__).resolve().parents[1] / "benchmarks" / "sky")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("supernova")
    finally:
        sys.path.remove(folder)
        sys.modules.pop("supernova", None)


def test_real_light_curves_are_read_as_they_are(real):
    values, count = fit.features(real)
    assert (len(count), (count > 0).sum(), (count >= fit.LEAST).sum()) == (49, 48, 33)
    assert (np.diff(real.mjd, axis=1)[real.mask[:, 1:]] > 0).all()
    # magnitude of 1 ADU: zero points of 25.0 to 25.3 and 86 s
    assert ((real.unit - 2.5 * np.log10(86.0) > 24.9) & (real.unit - 2.5 * np.log10(86.0) < 25.4)).all()
    # the reference was taken in the first night
    assert ((real.reference > 57070.0) & (real.reference < 57070.3)).all()
    # SNHiTS15ad: brightest detection 18.83 after 5 d
    brightest = values[:, 0].argmin()
    np.testing.assert_allclose(values[brightest, [0, 3]], [18.83, 4.97], atol=0.01)


def test_held_out_supernovae_look_like_real_ones(real, script):
    kinds = fit.pool(real, 200, 0)
    values, count = fit.features(real)
    seen = count >= fit.LEAST
    model, told = script.held_out(real, kinds, 200, 1000)
    assert len(told) == 2
    for index, name in enumerate(fit.FEATURES):
        assert distance(values[seen, index], model[:, index]).d <= 0.25, name


def test_defaults_look_like_real_ones(real, script):
    model = script.simulated(Supernova(), real, 200, 2000)
    values, count = fit.features(real)
    for index, name in enumerate(fit.FEATURES):
        assert distance(values[count >= fit.LEAST, index], model[:, index]).d <= 0.25, name


def test_fit_prefers_the_defaults_middle_of_acceptance(real):
    chosen, _ = fit.choose(real, fit.pool(real, 300, 0))
    assert chosen["acceptance_mag"] == Supernova().acceptance_mag
    assert chosen["slow_rise_fraction"] >= 0.75


def test_weights_of_the_pool_give_what_the_source_draws(real):
    # The weighted pool against objects drawn with the setting itself.
    setting = {"acceptance_mag": 22.8, "fraction_ia": 0.5, "slow_rise_fraction": 0.5}
    kinds = fit.pool(real, 600, 0)
    curves, params, mag = fit.observe(Supernova(**setting), real, 600, 9)
    kept = Supernova(**setting).select(params, mag, np.random.default_rng(1))
    values, count = fit.features(curves)
    drawn = (values[kept], count[kept])
    assert (count[kept] >= fit.LEAST).sum() > 1000
    assert fit.distances(drawn, kinds, setting, 1.5).max() < 0.05
    assert fit.distances(drawn, kinds, setting | {"fraction_ia": 1.0}, 1.5).max() > 0.1


def test_table_is_what_its_script_makes(data_dir, tmp_path):
    pytest.importorskip("sncosmo")
    pytest.importorskip("speclite")
    output = tmp_path / "snia.npz"
    command = ["-m", "skyreel_sources.tables.build_snia", "--templates", str(data_dir / "templates"), "--output", str(output)]
    subprocess.run([sys.executable, *command], check=True, timeout=120)
    made = np.load(output, allow_pickle=False)
    kept = tables.load("snia.npz")
    assert set(made.files) == set(kept)
    for key in made.files:
        np.testing.assert_allclose(made[key], kept[key], rtol=0, atol=1e-3)


def test_table_equals_an_independent_one(data_dir):
    reference = np.load(data_dir / "templates" / "snia_hsiao_g_grid.npz", allow_pickle=False)
    table = tables.load("snia.npz")
    shared = np.flatnonzero(np.isin(table["phase"], reference["phase"]))
    compared = 0
    for row, redshift in enumerate(table["redshift"]):
        match = np.flatnonzero(np.isclose(reference["z"], redshift, atol=1e-6))
        if len(match) and redshift <= 0.6:
            theirs = reference["absmag"][match[0]][np.searchsorted(reference["phase"], table["phase"][shared])]
            np.testing.assert_allclose(table["absmag"][1, row, shared], theirs, rtol=0, atol=0.002)
            compared += 1
    assert compared > 10

"""Source classes against real HiTS light curves, and the tables against the published data they come from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import ks_2samp

from skyreel_sources import tables
from skyreel_sources.eclipsing_binary import EclipsingBinary
from skyreel_sources.rr_lyrae import RRLyrae
from skyreel_sources.tables import roche

DATA = Path(os.environ.get("SKYREEL_TEST_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
TABLES = Path(tables.__file__).parent
TWINS = 20

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="no data: neither ../shared/data nor SKYREEL_TEST_DATA"),
]


def features(mag):
    """Spread p95 - p5 and standard deviation [mag], without the outliers of the real photometry."""
    mag = mag[np.abs(mag - np.median(mag)) < 2.5]
    low, high = np.percentile(mag, [5, 95])
    return high - low, np.std(mag)


@pytest.mark.parametrize(("source", "name"), [(RRLyrae(), "rr_lyrae"), (EclipsingBinary(), "eclipsing_binary")])
def test_spread_of_light_curves_like_real_ones(source, name):
    from astropy.table import Table

    table = Table.read(DATA / "hits2015a" / "dev" / f"photometry_{name}.ecsv")
    table = table[np.isfinite(table["mag_kron"]) & np.isfinite(table["magerr_kron"])]
    rng = np.random.default_rng(0)
    real, simulated = [], []
    for rows in table.group_by("object_id").groups:
        real.append(features(np.asarray(rows["mag_kron"])))
        mjd = np.tile(np.asarray(rows["mjd"]), (TWINS, 1))
        mag = source.light_curve(source.sample(TWINS, rng), mjd, np.full(mjd.shape, 1, np.int8)).mag
        mag = mag + rng.standard_normal(mag.shape) * np.asarray(rows["magerr_kron"])
        simulated += [features(curve) for curve in mag]
    for real_column, simulated_column in zip(zip(*real, strict=True), zip(*simulated, strict=True), strict=True):
        assert ks_2samp(real_column, simulated_column).statistic <= 0.25


def build(name, suffix, tmp_path):
    """Runs a table's script as a user does and returns the file it wrote."""
    output = tmp_path / f"{name}{suffix}"
    inputs = str(DATA / "templates")
    command = [sys.executable, "-m", f"skyreel_sources.tables.build_{name}", "--templates", inputs, "--output", str(output)]
    subprocess.run(command, check=True, timeout=120)
    return output


@pytest.mark.parametrize("name", ["rr_lyrae", "cepheid"])
def test_table_is_what_its_script_makes(name, tmp_path):
    made = json.loads(build(name, ".json", tmp_path).read_text(encoding="utf-8"))
    kept = json.loads((TABLES / f"{name}.json").read_text(encoding="utf-8"))
    assert made.keys() == kept.keys()
    for key in made.keys() - {"source"}:
        np.testing.assert_allclose(made[key], kept[key], rtol=0, atol=2e-6)


def test_ia_table_is_what_its_script_makes(tmp_path):
    pytest.importorskip("sncosmo")
    pytest.importorskip("speclite")
    made = np.load(build("snia", ".npz", tmp_path), allow_pickle=False)
    kept = np.load(TABLES / "snia.npz", allow_pickle=False)
    for key in kept.files:
        np.testing.assert_allclose(made[key], kept[key], rtol=0, atol=1e-3)


def test_ia_table_equals_an_independent_one():
    reference = np.load(DATA / "templates" / "snia_hsiao_g_grid.npz", allow_pickle=False)
    table = tables.load("snia.npz")
    shared = np.flatnonzero(np.isin(table["phase"], reference["phase"]))
    for row, redshift in enumerate(table["redshift"]):
        match = np.flatnonzero(np.isclose(reference["z"], redshift, atol=1e-6))
        if len(match) and redshift <= 0.6:
            ours = table["absmag"][1, row, shared]
            theirs = reference["absmag"][match[0]][np.searchsorted(reference["phase"], table["phase"][shared])]
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.002)


def test_rr_lyrae_table_equals_an_independent_one():
    reference = json.loads((DATA / "templates" / "rrlyrae_g_fourier_pca.json").read_text(encoding="utf-8"))
    table = tables.load("rr_lyrae.json")
    for kind in ("ab", "c"):
        np.testing.assert_allclose(table[f"{kind}_mean"], reference[kind]["mean"], rtol=0, atol=0.002)
        np.testing.assert_allclose(table[f"{kind}_amplitude_law"][::-1], reference[kind]["amp_poly"], rtol=0, atol=0.002)
        np.testing.assert_allclose(table[f"{kind}_period_quantiles"], reference[kind]["P_quantiles"], rtol=0, atol=1e-4)


def mean_radius_level(q, radius, centre):
    """Potential of the surface around x = centre whose area is that of a sphere of this radius."""

    def level(pole):
        return float(roche.potential(q, np.array(centre), np.array(0.0), np.array(pole)))

    def excess(pole):
        return np.sqrt(roche.surface(q, level(pole), centre).area.sum() / (4 * np.pi)) - radius

    return level(brentq(excess, 0.5 * radius, radius, xtol=1e-4))


def test_roche_curves_equal_ellc():
    bank = np.load(DATA / "templates" / "eb_bank_ellc_g_i2mmag.npz", allow_pickle=False)
    kind, _, q, r1, r2, t1, t2, tilt, eccentricity, _ = bank["par"].T.astype(float)
    chosen = np.flatnonzero((kind == 1) & (eccentricity < 1e-3) & (np.maximum(r1, r2) < 0.25))[:6]
    for row in chosen:
        levels = (mean_radius_level(q[row], r1[row], 0.0), mean_radius_level(q[row], r2[row], 1.0))
        curve = roche.light_curve(q[row], levels, (t1[row], t2[row]), tilt[row], np.arange(0, 65, 2) / 128)
        reference = bank["g"][row] / 1e3
        reference = reference - reference.min()
        shifted = [np.std(curve - np.roll(reference, half)[:65:2]) for half in (0, 64)]  # either eclipse may be at phase 0
        assert min(shifted) < 0.007
    assert len(chosen) == 6

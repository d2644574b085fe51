"""The stars of Sesar et al. 2010 as templates, on a small folder in the published format."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from skyreel.errors import DatasetError
from skyreel_sources import rr_lyrae_stars
from skyreel_sources.rr_lyrae import RRLyrae

KINDS = ("ab", "c", "ab")
PERIOD = np.array([0.5, 0.3, 0.6])
AMPLITUDE = {"u": 0.9, "g": 1.0, "r": 0.7, "i": 0.55, "z": 0.5}
LATER = {"u": 0.0, "g": 0.0, "r": 0.25, "i": 0.0, "z": 0.0}
"""Phase by which a band peaks after g."""
MEAN = {"u": 18.2, "g": 17.0, "r": 16.8, "i": 16.7, "z": 16.6}


def template(phase):
    """Maximum at phase 0, minimum at 0.8: 0 to 1."""
    return np.where(phase < 0.8, phase / 0.8, (1 - phase) / 0.2)


def write_table(path, columns):
    lines = ["#" + " ".join(columns)] + [" ".join(str(value) for value in row) for row in zip(*columns.values(), strict=True)]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode("ascii")))


@pytest.fixture
def stars_folder(tmp_path: Path) -> Path:
    """Three stars with one triangular template; the second table lists them in another order."""
    numbers = np.array([11, 22, 33])
    sample = {"id": numbers, "type": KINDS, "P": PERIOD}
    for band in "ugriz":
        epoch = 51075.0 + 7 * PERIOD * (band == "u") + LATER[band] * PERIOD  # whole periods apart are the same phase
        sample |= {f"{band}A": (AMPLITUDE[band] + 0.1 * np.arange(3)).round(3), f"{band}E": epoch, f"{band}T": [100, 0, 100]}
    write_table(tmp_path / "sesar2010_table2.dat.gz", sample)
    offset = np.arange(3)[::-1]
    write_table(tmp_path / "sesar2010_table3.dat.gz", {"id": numbers[::-1]} | {f"{band}F": MEAN[band] + offset for band in "ugriz"})
    phase = np.arange(0, 1.001, 0.002)
    text = "\n".join(f"{x:.3f} {y:.6f}" for x, y in zip(phase, template(phase), strict=True)).encode("ascii")
    with tarfile.open(tmp_path / "RRLyr_ugriz_templates.tar.gz", "w:gz") as archive:
        for name in (f"{number}{band}.dat" for number in (0, 100) for band in "ugriz"):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return tmp_path


@pytest.fixture
def source(stars_folder: Path, monkeypatch: pytest.MonkeyPatch) -> RRLyrae:
    """RR Lyrae that draw from those stars."""
    stars = rr_lyrae_stars.read(stars_folder)
    monkeypatch.setattr(rr_lyrae_stars, "downloaded", lambda: stars)
    return RRLyrae(templates="sesar2010")


def at_phase(source, params, phase, band):
    """Magnitudes (n, T) at phases (T,)."""
    mjd = params["epoch"][:, None] + params["period"][:, None] * (1000 + np.asarray(phase))
    return source.light_curve(params, mjd, np.full(mjd.shape, source.bands.index(band), np.int8)).mag


def test_stars_keep_their_own_curve_in_every_band(source):
    params = source.sample(300, np.random.default_rng(0))
    amplitude = {name: AMPLITUDE[name] + 0.1 * np.array([0, 2, 1])[params["star"]] for name in AMPLITUDE}  # ab first: stars 11, 33, 22
    np.testing.assert_allclose(params["amplitude"], amplitude["g"])
    np.testing.assert_array_equal(params["type"], params["star"] == 2)
    np.testing.assert_array_equal(params["period"], np.array([0.5, 0.6, 0.3])[params["star"]])
    phase = np.linspace(0, 0.999, 77)
    for band in "ugriz":
        curve = at_phase(source, params, phase, band)
        expected = amplitude[band][:, None] * template((phase - LATER[band]) % 1.0)
        np.testing.assert_allclose(curve - curve.mean(axis=1, keepdims=True), expected - expected.mean(axis=1, keepdims=True), atol=2e-3)
    np.testing.assert_array_equal(at_phase(source, params, phase, "y"), at_phase(source, params, phase, "z"))


def test_flux_averaged_colours_are_the_published_ones(source):
    params = source.sample(100, np.random.default_rng(0))
    phase = np.arange(1000) / 1000
    mean = {band: -2.5 * np.log10(np.mean(10 ** (-0.4 * at_phase(source, params, phase, band)), axis=1)) for band in "ugriz"}
    for band in "uriz":
        np.testing.assert_allclose(mean[band] - mean["g"], MEAN[band] - MEAN["g"], atol=1e-3)
    np.testing.assert_allclose(at_phase(source, params, phase, "g").mean(axis=1), params["mean_mag"], atol=1e-3)


def test_stars_are_drawn_uniformly_and_types_by_their_share(source):
    star = source.sample(60_000, np.random.default_rng(0))["star"]
    np.testing.assert_allclose(np.bincount(star) / 60_000, [0.785 / 2, 0.785 / 2, 0.215], atol=0.008)
    assert (RRLyrae(templates="sesar2010", fraction_ab=0.0).sample(50, np.random.default_rng(0))["star"] == 2).all()


def test_light_curve_of_stars_is_pure(source):
    params = source.sample(40, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    mjd, band = rng.uniform(57070, 57095, (40, 9)), rng.integers(0, 6, (40, 9)).astype(np.int8)
    mag = source.light_curve(params, mjd, band).mag
    rows, epochs = rng.permutation(40), rng.permutation(9)
    again = source.light_curve({name: column[rows] for name, column in params.items()}, mjd[rows][:, epochs], band[rows][:, epochs]).mag
    np.testing.assert_array_equal(again, mag[rows][:, epochs])
    later = source.light_curve(params, mjd + 300 * params["period"][:, None], band).mag
    np.testing.assert_allclose(later, mag, rtol=0, atol=1e-5)


def test_empty_batches_of_stars(source):
    params = source.sample(0, np.random.default_rng(0))
    assert source.light_curve(params, np.zeros((0, 4)), np.zeros((0, 4), np.int8)).mag.shape == (0, 4)


@pytest.fixture
def forgetful():
    """Nothing of the stars is kept before or after the test."""
    rr_lyrae_stars.downloaded.cache_clear()
    yield
    rr_lyrae_stars.downloaded.cache_clear()


@pytest.mark.usefixtures("forgetful")
def test_stars_are_read_once_from_the_public_data(stars_folder, monkeypatch):
    asked = []

    def folder(name):
        asked.append(name)
        return stars_folder

    monkeypatch.setattr("skyreel.public_data.folder", folder)
    variable = RRLyrae(templates="sesar2010")
    params = variable.sample(20, np.random.default_rng(0))
    assert set(params["period"]) <= set(PERIOD)
    assert variable.light_curve(params, np.zeros((20, 3)), np.ones((20, 3), np.int8)).mag.shape == (20, 3)
    assert asked == ["sesar2010"]


@pytest.mark.usefixtures("forgetful")
def test_stars_that_were_not_downloaded_name_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("SKYREEL_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match="skyreel data get sesar2010"):
        RRLyrae(templates="sesar2010").sample(5, np.random.default_rng(0))

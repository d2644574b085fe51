"""The 483 RR Lyrae of Sesar et al. 2010 (ApJ 708, 717) in Stripe 82: periods and u, g, r, i, z curves of every star."""

from __future__ import annotations

import gzip
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array, Params
from skyreel_sources.epochs import by_band, chunks, fold

DATASET = "sesar2010"
BANDS = "ugriz"
BAND_OF = np.array([0, 1, 2, 3, 4, 4])
"""Position in `BANDS` of u, g, r, i, z, y: y has the curve of z."""
SAMPLES = 500
"""Phases of a curve: the spacing of the published templates, so that reading them loses nothing."""


@dataclass(frozen=True)
class Stars:
    """n stars, those of type ab first.

    Attributes
    ----------
    kind : int8 (n,)
        0 ab, 1 c.
    period : (n,)
        [d].
    amplitude : (n,)
        Peak to peak in g [mag].
    curve : float32 (n, 5, SAMPLES + 1)
        Magnitude in u, g, r, i, z minus the mean g magnitude over phase [mag], free of extinction, at equally spaced
        phases from 0 (maximum in g) to 1.
    """

    kind: NDArray[np.int8]
    period: Array
    amplitude: Array
    curve: NDArray[np.float32]


@lru_cache(maxsize=1)
def downloaded() -> Stars:
    """The stars from the public data on this machine.

    Raises
    ------
    DatasetError
        They were not downloaded yet, or are damaged: ``skyreel data get sesar2010``.
    """
    from skyreel.public_data import folder

    return read(folder(DATASET))


def draw(kind: NDArray[np.int8], rng: np.random.Generator) -> Params:
    """One of the stars for each of types `kind` (n,), all of a type with equal probability.

    Returns
    -------
    dict of (n,) arrays
        ``star`` (row of `Stars`), ``period`` [d], ``amplitude`` (g, peak to peak) [mag].

    Raises
    ------
    DatasetError
        See `downloaded`.
    """
    stars = downloaded()
    first = np.searchsorted(stars.kind, [0, 1, 2])
    star = first[kind] + (rng.random(len(kind)) * np.diff(first)[kind]).astype(np.int64)
    return {"star": star, "period": stars.period[star], "amplitude": stars.amplitude[star]}


def light_curve(params: Params, mjd: Array, band: NDArray[np.int8]) -> Array:
    """Magnitude (n, T) of stars ``star`` with mean g magnitude ``mean_mag``: their curves, linear between the samples."""
    curve = downloaded().curve
    values = curve.ravel()
    start = (params["star"].astype(np.intp)[:, None] * len(BANDS) + BAND_OF) * curve.shape[2]
    mag = np.empty(mjd.shape)
    for rows in chunks(len(mjd)):
        position = fold(mjd[rows], params["epoch"][rows], params["period"][rows])
        position *= SAMPLES
        column = np.minimum(position.astype(np.intp), SAMPLES - 1)
        position -= column
        column += by_band(start[rows], band[rows])
        left = values[column]
        column += 1
        mag[rows] = left + (values[column] - left) * position
    mag += params["mean_mag"][:, None]
    return mag


def read(folder: Path) -> Stars:
    """Stars from the published tables.

    Parameters
    ----------
    folder : Path
        Holds ``RRLyr_ugriz_templates.tar.gz`` (unit-amplitude templates), ``sesar2010_table2.dat.gz`` (period, and per band
        amplitude A, epoch of maximum E and template number T) and ``sesar2010_table3.dat.gz`` (flux-averaged magnitudes F
        corrected for extinction), as distributed with astroML-data.
    """
    stars, means = _table(folder / "sesar2010_table2.dat.gz"), _table(folder / "sesar2010_table3.dat.gz")
    order = {number: row for row, number in enumerate(means["id"])}
    means = {name: column[[order[number] for number in stars["id"]]] for name, column in means.items()}
    templates = _templates(folder / "RRLyr_ugriz_templates.tar.gz")
    phase = np.tile(np.arange(SAMPLES + 1) / SAMPLES, (len(stars["id"]), 1))
    curves = []
    for band in BANDS:
        later = stars[f"{band}E"] - stars["gE"]  # the bands do not peak together
        position = fold(phase * stars["P"][:, None], later, stars["P"]) * SAMPLES
        unit = np.stack([templates[f"{int(number)}{band}"] for number in stars[f"{band}T"]])
        curve = stars[f"{band}A"][:, None] * _linear(unit, position)
        flux_mean = -2.5 * np.log10(np.mean(10.0 ** (-0.4 * curve[:, :-1]), axis=1))
        curves.append(curve + (means[f"{band}F"] - flux_mean)[:, None])
    curve = np.stack(curves, axis=1)
    curve -= curve[:, [BANDS.index("g")], :-1].mean(axis=2, keepdims=True)
    kind = (stars["type"] == "c").astype(np.int8)
    rows = np.argsort(kind, kind="stable")
    return Stars(kind[rows], stars["P"][rows], stars["gA"][rows], curve[rows].astype(np.float32))


def _linear(values: Array, position: Array) -> Array:
    """Rows of values (n, S + 1) at positions (n, T) in 0..S, linear between entries."""
    column = np.minimum(position.astype(np.intp), values.shape[1] - 2)
    left, right = (np.take_along_axis(values, column + step, axis=1) for step in (0, 1))
    return np.asarray(left + (right - left) * (position - column))


def _table(path: Path) -> dict[str, NDArray[Any]]:
    """Columns of one of the paper's text tables."""
    with gzip.open(path, "rt", encoding="ascii") as stream:
        names = stream.readline().lstrip("#").split()
        rows = [line.split() for line in stream if line.strip()]
    text = dict(zip(names, np.array(rows).T, strict=True))
    return {name: column if name == "type" else column.astype(float) for name, column in text.items()}


def _templates(path: Path) -> dict[str, Array]:
    """Unit-amplitude templates (SAMPLES + 1,) by name ('100g'): 0 at maximum light (phase 0), 1 at minimum."""
    phase = np.arange(SAMPLES + 1) / SAMPLES
    templates = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            stream = archive.extractfile(member)
            if stream is not None:
                table = np.loadtxt(stream)
                templates[member.name.removesuffix(".dat")] = np.interp(phase, table[:, 0], table[:, 1], period=1.0)
    return templates

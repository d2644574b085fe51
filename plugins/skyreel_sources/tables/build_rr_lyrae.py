"""Builds rr_lyrae.json: a generator of RR Lyrae light curves from the 483 stars of Sesar et al. 2010 (ApJ 708, 717).

Run as ``python -m skyreel_sources.tables.build_rr_lyrae --templates DIR --output FILE``, where DIR holds
``RRLyr_ugriz_templates.tar.gz`` (their templates), ``sesar2010_table2.dat.gz`` (periods, amplitudes, template numbers)
and ``sesar2010_table3.dat.gz`` (flux-averaged magnitudes free of extinction), as distributed with astroML-data.

For each type, ab and c: the unit-amplitude g curves (phase 0 = maximum) as 10 Fourier harmonics, their principal
components, the regression of the scores and of the amplitude on the period, quantiles of the period; and per band
the median ratio of amplitudes and the mean and scatter of the colours.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel_sources.tables.command import arguments

HARMONICS = 10
COMPONENTS = {"ab": 4, "c": 1}
"""The RRc stars share two templates in g: one component holds all their variance."""
AMPLITUDE_DEGREE = {"ab": 1, "c": 2}
"""Degree of amplitude(log10 P): RRc amplitudes bend over."""
SAMPLES = 500
Array = NDArray[np.float64]


def read_table(path: Path) -> dict[str, NDArray[Any]]:
    """Columns of one of the paper's text tables."""
    with gzip.open(path, "rt", encoding="ascii") as stream:
        names = stream.readline().lstrip("#").split()
        rows = [line.split() for line in stream if line.strip()]
    text = dict(zip(names, np.array(rows).T, strict=True))
    return {name: column if name == "type" else column.astype(float) for name, column in text.items()}


def read_templates(path: Path) -> dict[int, Array]:
    """Unit-amplitude g templates on `SAMPLES` phases from 0 (maximum), by number."""
    phase = np.arange(SAMPLES) / SAMPLES
    templates = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            stream = archive.extractfile(member) if member.name.endswith("g.dat") else None
            if stream is not None:
                table = np.loadtxt(stream)
                templates[int(member.name.removesuffix("g.dat"))] = np.interp(phase, table[:, 0], table[:, 1], period=1.0)
    return templates


def fourier(curves: Array) -> Array:
    """Coefficients (n, 2 H) = [cos 1..H, sin 1..H] of curves (n, SAMPLES)."""
    spectrum = np.fft.rfft(curves, axis=1)[:, 1 : HARMONICS + 1] * 2.0 / SAMPLES
    return np.concatenate([spectrum.real, -spectrum.imag], axis=1)


def describe(kind: str, stars: dict[str, NDArray[Any]], templates: dict[int, Array]) -> dict[str, Any]:
    """Principal components, regressions and quantiles of one type."""
    log_period, amplitude = np.log10(stars["P"]), stars["gA"]
    coefficients = fourier(np.stack([templates[int(number)] for number in stars["gT"]]))
    mean = coefficients.mean(axis=0)
    components = np.linalg.svd(coefficients - mean, full_matrices=False)[2][: COMPONENTS[kind]]
    scores = (coefficients - mean) @ components.T
    design = np.stack([np.ones_like(amplitude), log_period, amplitude, amplitude**2], axis=1)
    regression = np.linalg.lstsq(design, scores, rcond=None)[0]
    law = np.polyfit(log_period, amplitude, AMPLITUDE_DEGREE[kind])
    colours = np.stack([stars[f"{band}F"] - stars["gF"] for band in "ugriz"], axis=1)
    return {
        "mean": mean,
        "components": components,
        "regression": regression,
        "covariance": np.atleast_2d(np.cov((scores - design @ regression).T)),
        "amplitude_law": law[::-1],
        "amplitude_scatter": np.std(amplitude - np.polyval(law, log_period)),
        "amplitude_range": [amplitude.min(), amplitude.max()],
        "period_quantiles": np.quantile(stars["P"], np.linspace(0, 1, 21)),
        "amplitude_ratio": [np.median(stars[f"{band}A"] / amplitude) for band in "ugriz"],
        "colour": np.median(colours, axis=0),
        "colour_covariance": np.cov(colours.T),
    }


def main() -> None:
    """Writes one flat JSON object; keys start with the type (``ab_`` or ``c_``), magnitudes in mag, periods in days."""
    options = arguments(__doc__)
    folder = Path(options.templates)
    stars = read_table(folder / "sesar2010_table2.dat.gz")
    means = read_table(folder / "sesar2010_table3.dat.gz")
    order = {number: row for row, number in enumerate(means["id"])}
    rows = [order[number] for number in stars["id"]]
    stars |= {name: column[rows] for name, column in means.items() if name.endswith("F")}
    templates = read_templates(folder / "RRLyr_ugriz_templates.tar.gz")
    table: dict[str, Any] = {"source": "Sesar et al. 2010, ApJ 708, 717", "fraction_ab": float(np.mean(stars["type"] == "ab"))}
    for kind in COMPONENTS:
        chosen = stars["type"] == kind
        described = describe(kind, {name: column[chosen] for name, column in stars.items()}, templates)
        table |= {f"{kind}_{name}": np.round(np.asarray(value, float), 6).tolist() for name, value in described.items()}
    Path(options.output).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Builds cepheid.json: a generator of Cepheid light curves from Yoachim et al. 2009 (AJ 137, 4697; arXiv:0903.4186).

Run as ``python -m skyreel_sources.tables.build_cepheid --templates DIR --output FILE``, where DIR holds
``yoachim09_short_struc.fits`` and ``yoachim09_long_struc.fits``, the principal components of 526 stars with P < 10 d
and 74 with P > 10 d, as the authors published them.

A star is 48 numbers, [sin 1..8, cos 1..8] of the phase in I, V, B. They are rotated to g = V + 0.60 (B-V) and
r = V - 0.42 (B-V) (Jester et al. 2005, AJ 130, 873, table 1; linear, so exact for coefficients); i has the shape of I.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from skyreel_sources.tables.command import arguments

COMPONENTS = 4
"""Scores for which the published polynomials of log10 P exist."""


def rotate(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients (..., 48) in I, V, B as (..., 3, 16) in g, r, i."""
    i, v, b = np.moveaxis(coefficients.reshape(*coefficients.shape[:-1], 3, 16), -2, 0)
    return np.stack([v + 0.60 * (b - v), v - 0.42 * (b - v), i], axis=-2)


def departures(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (n, COMPONENTS) less their mean and divided by their standard deviation."""
    scores = scores[:, :COMPONENTS]
    return np.asarray((scores - scores.mean(axis=0)) / scores.std(axis=0))


def main() -> None:
    """Writes per group (``short_``, ``long_``): ``mean`` (3, 16), ``components`` (4, 3, 16) [mag per score],
    ``score_law`` (4, 8), polynomials in log10 P [d], ascending, ``score_scatter`` (4,), the published standard
    deviations about them, and ``departure`` (stars, 4) of every star.

    The files do not tell the order of the polynomials. Read as ascending, their values have the size of the scores (0.04);
    read as descending, they exceed them some hundred times.
    """
    options = arguments(__doc__)
    table: dict[str, object] = {"source": "Yoachim et al. 2009, AJ 137, 4697"}
    for group in ("short", "long"):
        with fits.open(Path(options.templates) / f"yoachim09_{group}_struc.fits") as file:
            row = {name: np.asarray(file[1].data[name][0], np.float64) for name in file[1].columns.names}
        columns = {
            "mean": rotate(row["AVE_VALS"]),
            "components": rotate(row["EIGENVECTORS"][:COMPONENTS]),
            "score_law": row["POLY_FITS"].T,
            "score_scatter": row["POLY_SPREAD"],
        }
        table |= {f"{group}_{name}": np.round(value, 8).tolist() for name, value in columns.items()}
        table[f"{group}_departure"] = np.round(departures(row["PCA"]), 3).tolist()
    Path(options.output).write_text(json.dumps(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

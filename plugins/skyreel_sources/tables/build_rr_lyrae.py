"""Builds rr_lyrae.json: a generator of RR Lyrae light curves from the 483 stars of Sesar et al. 2010 (ApJ 708, 717).

Run as ``python -m skyreel_sources.tables.build_rr_lyrae --templates DIR --output FILE``; `rr_lyrae_stars.read` names the
published files that DIR holds.

For each type, ab and c: the unit-amplitude g curves (phase 0 = maximum) as 10 Fourier harmonics and their principal
components; the curves of all bands, in units of the g amplitude, as linear functions of those scores; the regressions of
scores and colours on period and amplitude; and of every star period, amplitude and its residuals from those regressions:
the relations bend and split by Oosterhoff type, so that no law with normal scatter holds them all. Colours are differences
of mean magnitudes over phase.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel_sources.rr_lyrae_stars import BANDS, SAMPLES, Stars, read
from skyreel_sources.tables.command import arguments

HARMONICS = 10
COMPONENTS = {"ab": 4, "c": 1}
"""The RRc stars share two templates in g: one component holds all their variance."""
G = BANDS.index("g")
Array = NDArray[np.float64]


def fourier(curves: Array) -> Array:
    """Coefficients (..., 2 H) = [cos 1..H, sin 1..H] of curves (..., SAMPLES)."""
    spectrum = np.fft.rfft(curves, axis=-1)[..., 1 : HARMONICS + 1] * 2.0 / SAMPLES
    return np.concatenate([spectrum.real, -spectrum.imag], axis=-1)


def describe(kind: str, stars: Stars) -> dict[str, Any]:
    """Principal components, regressions and sample of one type; bands in the order u, g, r, i, z."""
    log_period, amplitude = np.log10(stars.period), stars.amplitude
    curves = stars.curve[..., :-1].astype(np.float64)
    coefficients = fourier(curves / amplitude[:, None, None])
    shape = coefficients[:, G]
    components = np.linalg.svd(shape - shape.mean(axis=0), full_matrices=False)[2][: COMPONENTS[kind]]
    scores = (shape - shape.mean(axis=0)) @ components.T
    in_bands = np.linalg.lstsq(scores, (coefficients - coefficients.mean(axis=0)).reshape(len(scores), -1), rcond=None)[0]
    colours = np.delete(curves.mean(axis=2), G, axis=1)
    drawn = np.concatenate([scores, colours], axis=1)
    design = np.stack([np.ones_like(amplitude), log_period, amplitude, amplitude**2], axis=1)
    regression = np.linalg.lstsq(design, drawn, rcond=None)[0]
    return {
        "mean": coefficients.mean(axis=0),
        "components": in_bands.reshape(len(components), *coefficients.shape[1:]),
        "regression": regression,
        "residual": drawn - design @ regression,
        "period": stars.period,
        "amplitude": amplitude,
    }


def rounded(values: Array) -> Any:
    """Nested lists of the values with five significant digits."""
    return np.array([float(f"{value:.5g}") for value in values.ravel()]).reshape(values.shape).tolist()


def main() -> None:
    """Writes one flat JSON object; keys start with the type (``ab_`` or ``c_``), magnitudes in mag, periods in days.

    ``mean`` (5, 20) and ``components`` (S, 5, 20): Fourier coefficients per band and their change with each score;
    ``regression`` (4, S + 4): scores, then u-g, r-g, i-g, z-g, on [1, lg P, A, A**2]; and of every star ``residual`` (stars, S + 4),
    ``period`` [d] and ``amplitude`` (g, peak to peak) [mag].
    """
    options = arguments(__doc__)
    stars = read(Path(options.templates))
    table: dict[str, Any] = {"source": "Sesar et al. 2010, ApJ 708, 717"}
    for code, kind in enumerate(COMPONENTS):
        rows = stars.kind == code
        described = describe(kind, Stars(stars.kind[rows], stars.period[rows], stars.amplitude[rows], stars.curve[rows]))
        table |= {f"{kind}_{name}": rounded(np.asarray(value, float)) for name, value in described.items()}
    Path(options.output).write_text(json.dumps(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

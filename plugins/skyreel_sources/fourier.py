"""Fourier series of many stars at once."""

from __future__ import annotations

import numpy as np

from skyreel.interfaces import Array
from skyreel_sources.epochs import chunks


def fourier_sum(phase: Array, cosine: Array, sine: Array) -> Array:
    """Sum over k = 1..H of cosine_k cos(2 pi k phase) + sine_k sin(2 pi k phase).

    Parameters
    ----------
    phase : (n, T)
    cosine, sine : (n, H)

    Returns
    -------
    (n, T)
        In the unit of the coefficients; its mean over phase is zero.
    """
    coefficients = cosine - 1j * sine
    out = np.empty(phase.shape)
    for rows in chunks(len(phase)):
        turn = np.empty(phase[rows].shape, np.complex128)
        angle = 2.0 * np.pi * phase[rows]
        np.cos(angle, out=turn.real)
        np.sin(angle, out=turn.imag)
        total = np.zeros_like(turn)
        for k in range(coefficients.shape[1] - 1, -1, -1):  # Horner: ((c_H z + c_(H-1)) z + ...) z
            total += coefficients[rows, k, None]
            total *= turn
        out[rows] = total.real
    return out

"""Dust in the host galaxy: the law of Cardelli, Clayton & Mathis 1989 (ApJ 345, 245)."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import polynomial

from skyreel.interfaces import Array

# Eq. 3a and 3b (optical, 1.1 <= x <= 3.3 / um), coefficients of y = x - 1.82, ascending.
OPTICAL_A = (1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
OPTICAL_B = (0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)


def ccm(wavelength: Array, r_v: float) -> Array:
    """A(wavelength) / A(V), eq. 1 with the infrared, optical and ultraviolet pieces (eqs. 2-4).

    Parameters
    ----------
    wavelength : ndarray
        Rest frame [angstrom], from 1250 to 33,000; clipped to this range.
    r_v : float
        A(V) / E(B-V).
    """
    x = np.clip(1e4 / wavelength, 0.3, 8.0)
    y = np.clip(x, 1.1, 3.3) - 1.82
    bump = np.clip(x - 5.9, 0.0, None)
    uv_a = 1.752 - 0.316 * x - 0.104 / ((x - 4.67) ** 2 + 0.341) - 0.04473 * bump**2 - 0.009779 * bump**3
    uv_b = -3.090 + 1.825 * x + 1.206 / ((x - 4.62) ** 2 + 0.263) + 0.2130 * bump**2 + 0.1207 * bump**3
    a = np.where(x < 1.1, 0.574 * x**1.61, np.where(x < 3.3, polynomial.polyval(y, OPTICAL_A), uv_a))
    b = np.where(x < 1.1, -0.527 * x**1.61, np.where(x < 3.3, polynomial.polyval(y, OPTICAL_B), uv_b))
    return np.asarray(a + b / r_v, np.float64)

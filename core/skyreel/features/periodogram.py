"""Lomb-Scargle sums for many curves on one grid of frequencies, as small matrix products.

Frequencies are k / (5 R), k = 1, 2, ..., up to one cycle per `SHORTEST` days, where R is the curve's span rounded up
to a power of sqrt(2) days, at least 1 d. A peak is 1 / span wide, so that every peak has 5 to 7 grid points across it
(FATS: 6) whatever the sampling, and curves observed together share one grid. Sampling that repeats every two hours
says nothing certain beyond 0.15 d; `SHORTEST` goes down to half the shortest periods of contact binaries, whose light
repeats twice per orbit. Periods longer than the span are not looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.features.curves import Array, Curves

SHORTEST = 0.1
"""Shortest period [d]."""
OVERSAMPLING = 5
"""Frequencies per 1 / R."""

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Grid:
    """Trigonometric factors of m curves on K frequencies.

    Attributes
    ----------
    frequency : float64 (K,), 1/d
    allowed : bool (m, K)
        Periods not longer than the span.
    coarse : complex (m, B, N), fine : complex (m, N, J)
        exp(2 pi i f t) at f = coarse + fine steps: the sum over N points at all B J frequencies is one matrix product.
    """

    frequency: Array
    allowed: NDArray[np.bool_]
    coarse: Complex
    fine: Complex

    @cached_property
    def squared(self) -> tuple[Complex, Complex]:
        """The factors at twice the frequencies."""
        return self.coarse**2, self.fine**2

    def sums(self, values: Array) -> Complex:
        """sum over points of values exp(2 pi i f t), (m, K)."""
        return self._flat((values[:, None, :] * self.coarse) @ self.fine)

    def double_sums(self, values: Array) -> Complex:
        """The same at twice the frequencies."""
        coarse, fine = self.squared
        return self._flat((values[:, None, :] * coarse) @ fine)

    def _flat(self, product: Complex) -> Complex:
        return product.reshape(len(product), -1)[:, : len(self.frequency)]


def rungs(span: Array) -> NDArray[Any]:
    """Exponent r of the power of sqrt(2) to which each span [d] is rounded up (m,), at least 0."""
    # spans a rounding error above a power belong to it
    return np.ceil(2.0 * np.log2(np.maximum(span, 1.0)) - 1e-9).astype(np.intp)


def grid(curves: Curves, rung: int) -> Grid:
    """Factors for curves whose spans round up to 2^(rung / 2) d."""
    step = 1.0 / (OVERSAMPLING * 2.0 ** (0.5 * rung))
    number = math.floor(1.0 / (SHORTEST * step) * (1.0 + 1e-9))
    frequency = step * np.arange(1, number + 1)
    size = math.isqrt(number - 1) + 1
    blocks = -(-number // size)
    turn = 2.0 * np.pi * step * curves.time
    fine = _powers(turn, size)
    # block b starts b * size steps up: powers of the last column, 1 for the first block
    coarse = np.concatenate([np.ones_like(turn)[..., None], _powers(size * turn, blocks - 1)], axis=2)
    return Grid(frequency, frequency * curves.time[:, -1:] >= 1.0 - 1e-9, np.ascontiguousarray(coarse.transpose(0, 2, 1)), fine)


def _powers(angle: Array, number: int) -> Complex:
    """exp(i k angle) for k = 1..number along a new last axis, by doubling: log2(number) products deep."""
    out = np.empty((*angle.shape, number), np.complex128)
    if number:
        out[..., 0].real, out[..., 0].imag = np.cos(angle), np.sin(angle)
    done = 1
    while done < number:
        more = min(done, number - done)
        np.multiply(out[..., :more], out[..., done - 1 : done], out=out[..., done : done + more])
        done += more
    return out


def explained(total: Array | float, double: Complex, single: Complex) -> Array:
    """Sum of squares removed by the best sinusoid, from sums of exp(2 pi i f t) (Lomb 1976; Scargle 1982, ApJ 263, 835).

    With n the sum of weights, T the weighted sum of exp(4 pi i f t) and S that of the data times exp(2 pi i f t), the
    solution of the two normal equations removes 2 (n |S|^2 - Re(T* S^2)) / (n^2 - |T|^2). Sinusoids of one phase at
    all points, for which that is 0 / 0, remove |S|^2 / n.

    Parameters
    ----------
    total : float or array (m, K)
    double, single : complex (m, K)

    Returns
    -------
    float64 array (m, K)
    """
    power = single.real**2 + single.imag**2
    rest = total**2 - (double.real**2 + double.imag**2)
    good = rest > 1e-8 * total**2
    square = single**2
    both = 2.0 * (total * power - (double.real * square.real + double.imag * square.imag)) / np.where(good, rest, 1.0)
    return np.asarray(np.where(good, np.maximum(both, 0.0), power / total))


def sinusoids(time: Array, values: Array, frequency: Array) -> tuple[Array, Array, Array]:
    """Least-squares a sin(2 pi f t) + b cos(2 pi f t) + c, one fit per frequency.

    Parameters
    ----------
    time, values : array (m, N)
    frequency : array (m, H), 1/d

    Returns
    -------
    a, b : array (m, H)
        0 where a sinusoid is constant over the points or sine and cosine are proportional to each other.
    model : array (m, H, N)
    """
    angle = 2.0 * np.pi * frequency[:, :, None] * time[:, None, :]
    sine, cosine = np.sin(angle), np.cos(angle)
    mean = values.mean(axis=1)[:, None]
    middle = [wave.mean(axis=2, keepdims=True) for wave in (sine, cosine)]
    s, c = sine - middle[0], cosine - middle[1]
    x = (values - mean)[:, None, :]
    ss, cc, sc, xs, xc = ((p * q).sum(axis=2) for p, q in ((s, s), (c, c), (s, c), (x, s), (x, c)))
    rest = ss * cc - sc**2
    good = rest > 1e-9 * time.shape[1] ** 2
    rest = np.where(good, rest, 1.0)
    a, b = (np.where(good, part / rest, 0.0) for part in (xs * cc - xc * sc, xc * ss - xs * sc))
    return a, b, mean[..., None] + a[..., None] * s + b[..., None] * c

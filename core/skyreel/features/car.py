"""The continuous autoregressive process of order 1 (damped random walk) by maximum likelihood: CAR_mean, CAR_sigma, CAR_tau.

dX = -X / tau dt + sigma dB + b dt with b tau the mean (Brockwell & Davis 2002, section 10.4; Pichara et al. 2012,
MNRAS 427, 1284). FATS maximises the likelihood by Powell's method from one start; here it is a grid over
(tau, variance) with a pattern search behind it, the same for every curve.
"""

from __future__ import annotations

import numpy as np

from skyreel.features.curves import Array, Curves

TAU = (0.01, 100.0)
"""Range of the relaxation time [d]; the upper end is the bound in FATS."""
VARIANCE = (1e-2, 1e2)
"""Range of the process's variance sigma^2 tau / 2 in units of the curve's."""
_GRID = (9, 5)
_ROUNDS = 4
"""Halvings of the pattern's steps, down to 7 % in tau; parabolas through the last pattern give the rest."""
_PATTERN = np.array([[-1.0], [0.0], [1.0]])
_LOGARITHMS = 8
"""Variances multiplied before a logarithm is taken of them."""


def car(curves: Curves) -> dict[str, Array]:
    """The three parameters; sigma in flux d^-1/2, CAR_mean = mean flux / tau as in FATS."""
    mean = curves.flux.mean(axis=1)
    x = (curves.flux - mean[:, None]) / curves.spread[:, None]
    noise = (curves.error / curves.spread[:, None]) ** 2
    across = (np.ascontiguousarray(column.T) for column in (np.diff(curves.time, axis=1), x, noise))
    log_tau, log_variance = _maximum(*across)
    tau = np.where(curves.spread > 0, np.exp(log_tau), np.nan)
    return {"CAR_tau": tau, "CAR_sigma": np.sqrt(2.0 * np.exp(log_variance) / tau) * curves.spread, "CAR_mean": mean / tau}


def likelihood(gaps: Array, x: Array, noise: Array, tau: Array, variance: Array) -> Array:
    """Logarithm of the likelihood of all points but the first, given those before (Kalman recursion of FATS).

    Parameters
    ----------
    gaps : array (N - 1, m), d
    x, noise : array (N, m)
        Fluxes about their mean and squared errors; curves lie along the last axis, which makes every step contiguous.
    tau : array (U, m), d
    variance : array (V, m)
        Stationary variance sigma^2 tau / 2.

    Returns
    -------
    array (U, V, m)
    """
    shape = (len(tau), len(variance), x.shape[1])
    ahead = np.empty(shape)
    ahead[:] = variance
    state, total, product = np.zeros(shape), np.zeros(shape), np.ones(shape)
    share, step = np.empty(shape), np.empty(shape)
    inverse = 1.0 / (ahead + noise[0])
    for i in range(1, len(x)):
        decay = np.exp(-gaps[i - 1] / tau)[:, None, :]
        # state = decay (state + ahead / width (x - state)); ahead = variance (1 - decay^2) + decay^2 ahead noise / width
        np.subtract(x[i - 1], state, out=step)
        np.multiply(ahead, inverse, out=share)
        step *= share
        state += step
        state *= decay
        inverse *= noise[i - 1]
        ahead *= inverse
        square = decay * decay
        ahead *= square
        ahead += variance * (1.0 - square)
        width = np.add(ahead, noise[i], out=share)
        np.divide(1.0, width, out=inverse)
        np.subtract(x[i], state, out=step)
        step *= step
        step *= inverse
        total += step
        product *= width
        if i % _LOGARITHMS == 0:
            total += np.log(product)
            product[:] = 1.0
    total += np.log(product)
    return np.asarray(-0.5 * (total + (len(x) - 1) * np.log(2.0 * np.pi)))


def _maximum(gaps: Array, x: Array, noise: Array) -> tuple[Array, Array]:
    """Logarithms (m,) of tau and of the variance at the highest likelihood found."""
    ends = [np.log(TAU), np.log(VARIANCE)]
    axes = [np.linspace(low, high, number) for (low, high), number in zip(ends, _GRID, strict=True)]
    steps = [axis[1] - axis[0] for axis in axes]
    value = _values(gaps, x, noise, *(np.repeat(axis[:, None], x.shape[1], axis=1) for axis in axes))
    best = value.reshape(-1, x.shape[1]).argmax(axis=0)
    at = [axis[index] for axis, index in zip(axes, np.divmod(best, len(axes[1])), strict=True)]
    for _ in range(_ROUNDS):
        steps = [0.5 * step for step in steps]
        around = [middle + step * _PATTERN for middle, step in zip(at, steps, strict=True)]
        value = _values(gaps, x, noise, *around)
        inside = [np.clip(column, low - 1e-9, high + 1e-9) == column for column, (low, high) in zip(around, ends, strict=True)]
        value = np.where(inside[0][:, None] & inside[1][None], value, -np.inf)
        best = value.reshape(9, -1).argmax(axis=0)
        at = [middle + step * (index - 1.0) for middle, step, index in zip(at, steps, np.divmod(best, 3), strict=True)]
    # the last pattern's parabolas only where its middle was the highest
    offsets = (_vertex(value[:, 1]), _vertex(value[1]))
    u, v = (middle + step * np.where(best == 4, offset, 0.0) for middle, step, offset in zip(at, steps, offsets, strict=True))
    return u, v


def _values(gaps: Array, x: Array, noise: Array, log_tau: Array, log_variance: Array) -> Array:
    value = likelihood(gaps, x, noise, np.exp(log_tau), np.exp(log_variance))
    return np.asarray(np.where(np.isfinite(value), value, -np.inf))


def _vertex(value: Array) -> Array:
    """Where the parabola through three values (3, m) is highest, in steps from the middle one; 0 where it has no top."""
    bend = 2.0 * value[1] - value[0] - value[2]
    good = np.isfinite(bend) & (bend > 0)
    return np.where(good, np.clip((value[2] - value[0]) / np.where(good, 2.0 * bend, 1.0), -0.5, 0.5), 0.0)

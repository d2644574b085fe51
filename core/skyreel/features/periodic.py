"""Features of periods: FATS's Lomb-Scargle features and harmonics, and the weighted ones of the extended set."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import numpy as np
from numpy.typing import NDArray

from skyreel.features.curves import Array, Curves
from skyreel.features.level import adjusted
from skyreel.features.periodogram import SHORTEST, Complex, Grid, explained, grid, rungs, sinusoids
from skyreel.features.table import BANDS

Periodic = Callable[[Curves, Grid], dict[str, Array]]


def _by_grid(calculation: Periodic) -> Callable[[Curves], dict[str, Array]]:
    """Splits curves by the grid of their span; spans too short for any period of the grid have no value."""

    @wraps(calculation)
    def whole(curves: Curves) -> dict[str, Array]:
        out: dict[str, Array] = {}
        for rows, part, factors in _parts(curves):
            for name, value in calculation(part, factors).items():
                column = out.setdefault(name, np.full(len(curves.flux), np.nan))
                column[rows] = np.where(factors.allowed.any(axis=1) & (part.spread > 0), value, np.nan)
        return out

    return whole


def _parts(curves: Curves) -> list[tuple[NDArray[np.intp], Curves, Grid]]:
    """Rows, curves and factors of each grid, made once for all calculations."""
    if "grids" not in curves.shared:
        rung = rungs(curves.time[:, -1])
        rows = [np.flatnonzero(rung == each) for each in np.unique(rung)]
        parts = [curves.take(chosen) for chosen in rows]
        curves.shared["grids"] = [(chosen, part, grid(part, int(rung[chosen[0]]))) for chosen, part in zip(rows, parts, strict=True)]
    return list(curves.shared["grids"])


def _lomb_scargle(curves: Curves, factors: Grid) -> tuple[Complex, Array]:
    """Sums of exp(4 pi i f t) and the sum of squares that a sinusoid about the mean removes (m, K)."""
    if "lomb_scargle" not in curves.shared:
        n = curves.flux.shape[1]
        double = factors.double_sums(np.ones_like(curves.flux))
        removed = explained(float(n), double, factors.sums(curves.flux - curves.flux.mean(axis=1, keepdims=True)))
        curves.shared["lomb_scargle"] = double, removed
    double, removed = curves.shared["lomb_scargle"]
    return double, removed


def _peak(power: Array, factors: Grid) -> tuple[Array, Array]:
    """Frequency and power of the highest allowed point (m,)."""
    power = np.where(factors.allowed, power, -np.inf)
    best = power.argmax(axis=1)
    return factors.frequency[best], power[np.arange(len(power)), best]


@_by_grid
def period(curves: Curves, factors: Grid) -> dict[str, Array]:
    """PeriodLS, Period_fit, Psi_CS, Psi_eta.

    The false-alarm probability is that of Press & Rybicki 1989 (ApJ 338, 277), with 2 (K - 1) / q + 2 independent
    frequencies for K allowed ones that oversample the span q times; folding starts at the curve's first point.
    """
    n = curves.flux.shape[1]
    frequency, height = _peak(_lomb_scargle(curves, factors)[1], factors)
    variance = curves.spread**2 * n / (n - 1)
    unlikely = np.exp(-height / (2.0 * variance))
    independent = 2.0 * (factors.frequency[-1] * curves.time[:, -1])
    chance = np.where(independent * unlikely > 0.01, -np.expm1(independent * np.log1p(-unlikely)), independent * unlikely)
    folded = fold(curves.flux, curves.time, 2.0 / frequency)
    walk = np.cumsum(folded - folded.mean(axis=1, keepdims=True), axis=1) / (n * curves.spread[:, None])
    return {
        "PeriodLS": 1.0 / frequency,
        "Period_fit": chance,
        "Psi_CS": walk.max(axis=1) - walk.min(axis=1),
        "Psi_eta": (np.diff(folded, axis=1) ** 2).sum(axis=1) / ((n - 1) * curves.spread**2),
    }


def fold(flux: Array, time: Array, period: Array) -> Array:
    """Fluxes (m, N) in the order of their phases, each curve with its own period (m,) [d]."""
    phase = np.mod(time, period[:, None]) / period[:, None]
    return np.take_along_axis(flux, np.argsort(phase, axis=1, kind="stable"), axis=1)


@_by_grid
def harmonics(curves: Curves, factors: Grid) -> dict[str, Array]:
    """Amplitudes and relative phases of 4 harmonics of 3 successive Lomb-Scargle peaks (Richards et al. 2011, ApJ 733, 10).

    As the code of FATS does it: each harmonic is fitted on its own, with its own constant, and all four are
    subtracted before the next periodogram (a joint fit of 25 parameters, as in Debosscher et al. 2007, needs more
    points than 22). A residual of rounding errors counts as constant: amplitudes and phases are 0.
    """
    n = curves.flux.shape[1]
    double, removed = _lomb_scargle(curves, factors)
    x = curves.flux - curves.flux.mean(axis=1, keepdims=True)
    out = {}
    for i in (1, 2, 3):
        alive = x.std(axis=1) > 1e-9 * curves.spread
        frequency, _ = _peak(removed if i == 1 else explained(float(n), double, factors.sums(x)), factors)
        a, b, model = sinusoids(curves.time, x, frequency[:, None] * np.arange(1, 5))
        phase = np.where(b == 0, 0.0, np.arctan(b / a))
        for j in range(4):
            out[f"Freq{i}_harmonics_amplitude_{j}"] = np.where(alive, np.hypot(a[:, j], b[:, j]), 0.0)
        for j in (1, 2, 3):
            out[f"Freq{i}_harmonics_rel_phase_{j}"] = np.where(alive, phase[:, j] - phase[:, 0], 0.0)
        x = x - model.sum(axis=1)
        # each model has a constant of its own; the periodogram works about the mean
        x = x - x.mean(axis=1, keepdims=True)
    return out


@_by_grid
def spectrum(curves: Curves, factors: Grid) -> dict[str, Array]:
    """The extended set's periodogram: weighted, with floating mean (Zechmeister & Kuerster 2009, A&A 496, 577)."""
    weight = curves.weight / curves.weight.sum(axis=1, keepdims=True)
    x = curves.excess
    variance = (weight * x**2).sum(axis=1)
    mean: Complex = factors.sums(weight)
    double = factors.double_sums(weight) - mean**2
    gain = explained(1.0 - (mean.real**2 + mean.imag**2), double, factors.sums(weight * x)) / variance[:, None]
    frequency, height = _peak(gain, factors)
    span, n = curves.time[:, -1], curves.flux.shape[1]
    out = {"best_period": 1.0 / frequency, "best_gain": _beyond_chance(height, n, span / SHORTEST - 1.0)}
    for low, high in BANDS:
        inside = (factors.frequency > (1.0 - 1e-9) / high) & (factors.frequency < (1.0 - 1e-9) / low)
        some = factors.allowed[:, inside]
        best = np.where(some, gain[:, inside], 0.0).max(axis=1, initial=0.0)
        number = span / low - np.maximum(span / high, 1.0)
        out[f"gain_{low:.2f}-{high:.2f}d"] = np.where(some.any(axis=1), _beyond_chance(best, n, number), np.nan)
    squares = (x**2).sum(axis=1)
    for name, turns in (("folded_eta", 1.0), ("folded_eta_double", 2.0)):
        folded = fold(curves.flux, curves.time, turns / frequency)
        out[name] = ((folded - np.roll(folded, 1, axis=1)) ** 2).sum(axis=1) / (2.0 * squares)
    out["two_harmonics_gain"] = adjusted(_joint(curves, 0.5 * frequency), n, 4) - adjusted(height, n, 2)
    return out


def _beyond_chance(gain: Array, n: int, number: Array) -> Array:
    """Share of the scatter removed by the best of many sinusoids, less what the best one removes from noise.

    One sinusoid removes more than z from noise with the probability (1 - z)^((n - 3) / 2) (Zechmeister & Kuerster
    2009, table 1); the median of the highest of `number` independent ones is g with (1 - g)^((n - 3) / 2) =
    1 - 2^(-1 / number). The result (gain - g) / (1 - g) is 1 for a perfect fit and 0 in the median for noise,
    whatever the number of points; at least -1.
    """
    chance = -np.expm1(-np.log(2.0) / np.maximum(number, 1.0))
    return np.asarray(np.maximum(1.0 - (1.0 - gain) / chance ** (2.0 / (n - 3)), -1.0))


def _joint(curves: Curves, frequency: Array) -> Array:
    """Share of the chi2 of constancy removed by two harmonics fitted together."""
    angle = 2.0 * np.pi * frequency[:, None] * curves.time
    pull = curves.pull
    columns = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=2)
    basis, triangle = np.linalg.qr(columns / curves.error[:, :, None])
    size = np.abs(np.diagonal(triangle, axis1=1, axis2=2))
    # columns that depend on earlier ones over these points remove nothing
    inner = np.where(size > 1e-7 * size.max(axis=1, keepdims=True), np.einsum("mnk,mn->mk", basis, pull), 0.0)
    return np.asarray((inner**2).sum(axis=1) / (pull**2).sum(axis=1))

"""Fourier series of many stars at once, and stars whose coefficients are a mean plus principal components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def peak_to_peak(cosine: Array, sine: Array, points: int = 128) -> Array:
    """Range (n,) of the series over one cycle, read at `points` equally spaced phases from 0 on.

    Parameters
    ----------
    cosine, sine : (n, H)
    points : int
    """
    harmonic = np.arange(1, cosine.shape[1] + 1)[:, None]
    angle = 2.0 * np.pi * (harmonic * np.arange(points) % points) / points
    basis = np.concatenate([np.cos(angle), np.sin(angle)])
    out = np.empty(len(cosine))
    for rows in chunks(len(cosine)):
        out[rows] = np.ptp(np.concatenate([cosine[rows], sine[rows]], axis=1) @ basis, axis=1)
    return out


@dataclass(frozen=True)
class Components:
    """Curves of K types in B bands as means and principal components of their Fourier coefficients.

    Attributes
    ----------
    mean : (K, B, 2 H)
        Mean coefficients [cosine 1..H, sine 1..H].
    component : (K, S, B, 2 H)
        Change of the coefficients with each of S scores; types with fewer are filled up with zeros.
    """

    mean: Array
    component: Array

    @classmethod
    def stack(cls, means: Sequence[Array], components: Sequence[Array]) -> Components:
        """From one (B, 2 H) and one (S, B, 2 H) array per type; S may differ between types."""
        scores = max(len(component) for component in components)
        padded = [np.concatenate([c, np.zeros((scores - len(c), *c.shape[1:]))]) for c in components]
        return cls(np.stack(means), np.stack(padded))

    def coefficients(self, kind: NDArray[np.int8], scores: Array, band: int) -> tuple[Array, Array]:
        """Cosine and sine coefficients (n, H) in one band, of stars with types `kind` (n,) and `scores` (n, S)."""
        out = np.empty((len(kind), self.mean.shape[2]))
        for code in range(len(self.mean)):
            rows = np.flatnonzero(kind == code)
            out[rows] = self.mean[code, band] + scores[rows] @ self.component[code, :, band]
        cosine, sine = np.split(out, 2, axis=1)
        return cosine, sine

    def curve(self, kind: NDArray[np.int8], scores: Array, phase: Array, band: NDArray[np.int8]) -> Array:
        """Values (n, T) at `phase` (n, T) in `band` (n, T), with zero mean over phase in every band."""
        used = np.flatnonzero(np.bincount(band.ravel().astype(np.intp), minlength=self.mean.shape[1]))
        if len(used) == 1:
            return fourier_sum(phase, *self.coefficients(kind, scores, int(used[0])))
        out = np.empty(phase.shape)
        for index in used:
            np.copyto(out, fourier_sum(phase, *self.coefficients(kind, scores, int(index))), where=band == index)
        return out

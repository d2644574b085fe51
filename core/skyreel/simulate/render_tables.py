"""What the renderer prepares once per PSF basis and keeps: its spectra, and its images shifted by small amounts.

A native frequency with index k on a grid of G px stands for the os frequencies k + m G of the oversampled grid: the alias
sum of sampling at native pixels. They differ in what a shift does to them, and are kept apart as `alias` axes until the
shift is applied.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import jv

NEAR = 1.0
"""Largest shift along either axis that the shifted images cover [px]: stamps cut at the nearest pixel of an image or of a
registered one."""

CELL = 0.5
"""Side of the squares of shifts that share polynomials [px]."""

DEGREE = 5
"""Total degree of the polynomials in the shift from the middle of its square. What is left out is below 1e-5 of the peak for
widths above 2.5 px and below 1e-4 for 1.8 px."""

_KEPT = 4
_tables: OrderedDict[tuple[Any, ...], PSFTables] = OrderedDict()


def frequencies(oversample: int, grid: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frequencies [1 / grid px] of the rows (the half that a real image needs), (A, G / 2 + 1), and of the columns, (A, G)."""
    samples = grid * oversample
    columns = np.fft.fftfreq(samples, 1 / samples).round().astype(np.int64).reshape(oversample, grid)
    return columns[:, : grid // 2 + 1], columns


def aliases(images: torch.Tensor, oversample: int, grid: int, deconvolve: bool = False) -> torch.Tensor:
    """Spectra (..., A, A, G / 2 + 1, G) of centred images (..., M, M), aliases of rows and columns apart.

    `deconvolve` divides by the spectrum of the box of one sample.
    """
    samples = grid * oversample
    full = torch.fft.fft2(images)
    kind = np.complex64 if full.dtype == torch.complex64 else np.complex128
    factors = []
    for k in frequencies(oversample, grid):
        # Shifts the images' middle, half a sample off for even M, to the origin of the transform.
        factor = np.exp(2j * np.pi * k * (samples - 1) / 2 / samples)
        if deconvolve:
            factor = factor / np.sinc(k / samples)
        factors.append(torch.as_tensor(factor.astype(kind), device=images.device))
    y, x = factors
    apart = full.unflatten(-1, (oversample, grid)).unflatten(-3, (oversample, grid))[..., : grid // 2 + 1, :, :].transpose(-3, -2)
    out = torch.empty(apart.shape, dtype=full.dtype, device=full.device)
    return torch.mul(apart, y[:, None, :, None] * x[None, :, None, :], out=out)


@dataclass(frozen=True)
class PSFTables:
    """A PSF basis as the renderer uses it, on one device.

    Attributes
    ----------
    basis : (J, M, M)
        See `PSF.basis`, M = grid * oversample.
    size : int
        Side of the stamps [px].
    oversample, grid : int
    dtype : torch.float32 or torch.float64
    device : str or torch.device
    """

    basis: NDArray[np.floating]
    size: int
    oversample: int
    grid: int
    dtype: torch.dtype
    device: str | torch.device
    _shifted: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def spectra(self) -> torch.Tensor:
        """Spectra (A, A, J, (G / 2 + 1) G 2), shifted to the stamp's middle; axes (alias y, alias x, basis, y x real)."""
        return torch.view_as_real(self._centred.movedim(0, 2)).flatten(3).to(self.dtype).contiguous().to(self.device)

    def shifted(self, row: int, column: int) -> torch.Tensor:
        """Images (terms J, size size): what the polynomials `shift_terms` weigh for sources of unit flux in one square of shifts.

        exp(-i z t) with |t| <= 1 is J_0(z) + 2 sum_p (-i)^p J_p(z) T_p(t) (Jacobi-Anger), T_p the polynomials of Chebyshev.
        """
        if (row, column) not in self._shifted:
            y, x = self._lines
            pairs = _pairs().T.tolist()
            out = torch.empty((len(pairs), len(self.basis), self.size, self.size), dtype=self.dtype, device="cpu")
            turned = self._centred * self._turn(0, row)[:, None, :, None] * self._turn(1, column)[None, :, None, :]
            across = torch.einsum("qayk,jabkl->qjybl", y, turned)
            for term, (p, q) in enumerate(pairs):
                out[term] = torch.einsum("jybl,bxl->jyx", across[p], x[q]).real
            self._shifted[row, column] = out.flatten(2).flatten(0, 1).to(self.device)
        return self._shifted[row, column]

    def _turn(self, axis: int, cell: int) -> torch.Tensor:
        """What the shift to the middle of a square does to the frequencies of an axis, (A, F)."""
        return torch.from_numpy(np.exp(-2j * np.pi / self.grid * CELL * (cell + 0.5) * frequencies(self.oversample, self.grid)[axis]))

    @cached_property
    def _lines(self) -> list[torch.Tensor]:
        """Polynomial coefficients times inverse transform of rows and columns, each (degrees, A, size, F)."""
        degrees = np.arange(DEGREE + 1)
        out = []
        rows, columns = frequencies(self.oversample, self.grid)
        for k in (rows, columns):
            z = np.pi * CELL * k / self.grid
            bessel = np.where(degrees == 0, 1.0, 2.0 * (-1j) ** degrees)[:, None, None] * jv(degrees[:, None, None], z)
            wave = np.exp(2j * np.pi * np.outer(np.arange(self.size), k[0]) / self.grid) / self.grid
            if k is rows:
                wave = wave * np.where(k[0] % (self.grid // 2) == 0, 1.0, 2.0)
            out.append(torch.from_numpy(bessel[:, :, None] * wave))
        return out

    @cached_property
    def _centred(self) -> torch.Tensor:
        spectrum = aliases(torch.from_numpy(np.array(self.basis, np.float64)), self.oversample, self.grid)
        turns = [-np.pi * (self.size - 1) / self.grid * k for k in frequencies(self.oversample, self.grid)]
        y, x = (torch.from_numpy(np.exp(1j * turn)) for turn in turns)
        return spectrum * y[:, None, :, None] * x[None, :, None, :]


def psf_tables(
    basis: NDArray[np.floating], size: int, oversample: int, grid: int, dtype: torch.dtype, device: str | torch.device
) -> PSFTables:
    """The tables of a basis; those of read-only arrays are kept for the next call."""
    if basis.flags.writeable:
        return PSFTables(basis, size, oversample, grid, dtype, device)
    key = (id(basis), size, oversample, grid, dtype, str(device))
    if key not in _tables:
        # The entry holds the array: its id cannot be given to another one, and nobody can write to it.
        _tables[key] = PSFTables(basis, size, oversample, grid, dtype, device)
        while len(_tables) > _KEPT:
            _tables.popitem(last=False)
    _tables.move_to_end(key)
    return _tables[key]


def cells(shift: torch.Tensor) -> torch.Tensor:
    """The squares in which shifts of at most `NEAR` lie, whole numbers of the shape of `shift`."""
    last = round(NEAR / CELL)
    return (shift / CELL).floor().clamp(-last, last - 1).long()


def shift_terms(shift: torch.Tensor) -> torch.Tensor:
    """Products of Chebyshev polynomials (R, terms) at shifts (R, 2) = (x, y) [px]."""
    t = 2 * (shift / CELL - cells(shift)) - 1
    powers = [torch.ones_like(t), t]
    for _ in range(2, DEGREE + 1):
        powers.append(2 * t * powers[-1] - powers[-2])
    table = torch.stack(powers)
    y, x = (torch.as_tensor(p, device=shift.device) for p in _pairs())
    return (table[x, :, 0] * table[y, :, 1]).T


def _pairs() -> NDArray[np.int64]:
    """Degrees along y and x of every term, (2, terms)."""
    return np.array([(p, total - p) for total in range(DEGREE + 1) for p in range(total + 1)]).T

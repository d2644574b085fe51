"""Renders stamps for a whole batch in Fourier space: PSF x phase ramp x flux, plus host galaxies behind the same PSF.

Spectra are taken on the oversampled grid and folded (the alias sum of sampling at native pixels) before the inverse
transform, so that the finer grid is paid for once per basis image and not once per stamp.

A native frequency with index k on a grid of G px stands for the frequencies k + m G, m = -os/2 .. os/2 - 1 along either
axis. They differ in what a shift does to them, and are kept apart as `alias` axes until the shift is applied.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.fft import next_fast_len

from skyreel.errors import DataError

CHUNK = 256
"""Frames transformed together: bounds memory; a constant, so that results do not depend on the machine."""

ORIENTATIONS = 8

_CACHED_BASES = 4
_spectra: OrderedDict[tuple[Any, ...], tuple[NDArray[Any], torch.Tensor]] = OrderedDict()


def grid_size(stamp_size: int) -> int:
    """Side of the padded grid [px]: even, a product of 2, 3 and 5, at least twice the stamp plus a margin of 6 px.

    On it no light of a source in the central pixel wraps around the stamp's border. Small stamps get 27 px of padding,
    for the wings of the PSF around host galaxies. Example: 48 for stamps of 21 px.
    """
    wanted = stamp_size + max(stamp_size + 6, 27)
    return 2 * int(next_fast_len(-(-wanted // 2), real=True))


def orient(images: NDArray[Any], orientation: int) -> NDArray[Any]:
    """One of the 8 rotations and mirror images of a square (dihedral group D4) of the last two axes.

    Parameters
    ----------
    images : (..., M, M)
    orientation : int
        0..3: that many quarter turns, from +x to -y; 4..7: the same after mirroring x.
    """
    mirrored = images[..., ::-1] if orientation >= 4 else images
    return np.rot90(mirrored, orientation % 4, axes=(-2, -1)).copy()


def render(
    psf_basis: NDArray[np.floating],
    coefficients: ArrayLike,
    flux: ArrayLike,
    centre: ArrayLike,
    orientation: ArrayLike,
    size: int,
    oversample: int,
    grid: int,
    host_image: ArrayLike | None = None,
    host_flux: ArrayLike | None = None,
    host_band: ArrayLike | None = None,
    host_shift: ArrayLike | None = None,
    trail: ArrayLike | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Expected counts of sources and their hosts, without sky.

    Parameters
    ----------
    psf_basis : (J, M, M)
        Basis images as `PSF.basis` returns them, M = grid * oversample. Spectra of read-only arrays are kept.
    coefficients : (n, T, J)
        As `PSF.coefficients` returns them.
    flux : (n, T)
        Total counts of the source [ADU].
    centre : (n, T, 2)
        Position (x, y) of the source from the stamp's middle [px]. The middle is (size - 1) / 2, between two pixels
        for even sizes. A source more than grid / 2 from the middle gives no light.
    orientation : int (n,)
        0..7, applied to the PSF alone, see `orient`.
    size : int
        Side of the stamps [px].
    oversample : int
    grid : int
        Side of the padded grid [px], see `grid_size`.
    host_image : (n, B, M, M) or None
        Galaxies as `Host.image` returns them (integrated over sub-pixels, unit flux over the plane).
    host_flux : (n, T)
        Total counts of the galaxy [ADU].
    host_band : int (n, T)
        Index into axis B of `host_image`; None is 0.
    host_shift : (n, T, 2) or None
        Shift (x, y) of the galaxy, for instance by the re-cut of the stamp [px].
    trail : (n, T, 2) or None
        Vector (x, y) from begin to end of the trail within the exposure [px]; the trail's middle lies at `centre`.
    dtype : torch.float32 or torch.float64
    device : str or torch.device

    Returns
    -------
    (n, T, size, size) tensor, axes (object, epoch, y, x)

    Raises
    ------
    DataError
        If shapes do not fit each other.
    """
    numbers = {"flux": flux, "coefficients": coefficients, "centre": centre}
    w, f, c = (torch.as_tensor(np.asarray(numbers[k]), dtype=dtype, device=device) for k in ("coefficients", "flux", "centre"))
    turns = np.asarray(orientation, np.int64)
    n, epochs = f.shape
    samples = grid * oversample
    _shape("psf_basis", psf_basis.shape, (w.shape[-1], samples, samples))
    _shape("coefficients", w.shape, (n, epochs, len(psf_basis)))
    _shape("centre", c.shape, (n, epochs, 2))
    _shape("orientation", turns.shape, (n,))
    spectra = _basis_spectra(psf_basis, size, oversample, grid, dtype, device)
    out = torch.zeros((n, epochs, size, size), dtype=dtype, device=device)

    smear = None if trail is None else torch.as_tensor(np.asarray(trail), dtype=dtype, device=device)
    if smear is not None:
        _shape("trail", smear.shape, (n, epochs, 2))
    lit = (f != 0) & (c.abs() <= grid / 2).all(dim=-1)
    _add(out, spectra, turns, lit, w, f, c, trail=smear)
    if host_image is None:
        return out

    images = torch.as_tensor(np.asarray(host_image), dtype=dtype, device=device)
    counts = torch.as_tensor(np.asarray(host_flux), dtype=dtype, device=device)
    bands = torch.zeros((n, epochs), device=device) if host_band is None else torch.as_tensor(np.asarray(host_band), device=device)
    shift = torch.zeros_like(c) if host_shift is None else torch.as_tensor(np.asarray(host_shift), dtype=dtype, device=device)
    _shape("host_image", images.shape, (n, images.shape[1], samples, samples))
    for name, tensor, shape in (("flux", counts, (n, epochs)), ("band", bands, (n, epochs)), ("shift", shift, (n, epochs, 2))):
        _shape(f"host_{name}", tensor.shape, shape)
    for band in range(images.shape[1]):
        galaxies = _aliases(images[:, band], oversample, grid, deconvolve=True)
        _add(out, spectra, turns, (counts != 0) & (bands == band), w, counts, shift, galaxies=galaxies)
    return out


def _shape(name: str, found: Any, wanted: tuple[int, ...]) -> None:
    if tuple(found) != wanted:
        raise DataError(f"render: {name}", f"shape {tuple(found)}", f"expected {wanted}")


def _frequencies(oversample: int, grid: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Alias numbers m, and indices k of the rows (all) and columns (the half that a real image needs)."""
    half = oversample // 2
    if oversample % 2:
        rows = np.fft.fftfreq(grid, 1 / grid).round().astype(np.int64)
        return np.arange(-half, half + 1), rows, np.arange(grid // 2 + 1)
    return np.arange(-half, half), np.arange(grid), np.arange(grid // 2 + 1)


def _aliases(images: torch.Tensor, oversample: int, grid: int, deconvolve: bool = False) -> torch.Tensor:
    """Spectra (..., A, A, G, G / 2 + 1) of centred images (..., M, M), aliases of rows and columns apart.

    `deconvolve` divides by the spectrum of the box of one sample.
    """
    samples = grid * oversample
    alias, rows, columns = _frequencies(oversample, grid)
    full = torch.fft.fft2(images)
    axes = []
    for index in (rows, columns):
        k = alias[:, None] * grid + index
        # Shifts the images' middle, half a sample off for even M, to the origin of the transform.
        factor = np.exp(2j * np.pi * k * (samples - 1) / 2 / samples)
        if deconvolve:
            factor = factor / np.sinc(k / samples)
        axes.append((torch.as_tensor(k % samples, device=images.device), torch.as_tensor(factor, dtype=full.dtype, device=images.device)))
    (iy, fy), (ix, fx) = axes
    picked: torch.Tensor = full[..., iy[:, None, :, None], ix[None, :, None, :]]
    return picked * fy[:, None, :, None] * fx[None, :, None, :]


def _basis_spectra(
    basis: NDArray[Any], size: int, oversample: int, grid: int, dtype: torch.dtype, device: str | torch.device
) -> torch.Tensor:
    """Spectra (8, A, A, J, G, G / 2 + 1) of all orientations of the basis, shifted to the stamp's middle."""
    key = (id(basis), size, oversample, grid, dtype, str(device))
    if not basis.flags.writeable and key in _spectra:
        _spectra.move_to_end(key)
        return _spectra[key][1]
    _, rows, columns = _frequencies(oversample, grid)
    middle = [torch.as_tensor(np.exp(-2j * np.pi * index * (size - 1) / 2 / grid)) for index in (rows, columns)]
    alias = torch.as_tensor(_frequencies(oversample, grid)[0] * np.pi * (size - 1))
    whole = torch.polar(torch.ones_like(alias), -alias)
    turned = []
    for orientation in range(ORIENTATIONS):
        images = torch.from_numpy(orient(basis, orientation)).double()
        spectrum = _aliases(images, oversample, grid).movedim(0, 2)
        spectrum = spectrum * (whole[:, None] * whole)[:, :, None, None, None] * middle[0][:, None] * middle[1]
        turned.append(spectrum.to(torch.complex64 if dtype == torch.float32 else torch.complex128))
    out = torch.stack(turned).to(device)
    if not basis.flags.writeable:
        # The entry holds the array: its id cannot be given to another one, and nobody can write to it.
        _spectra[key] = (basis, out)
        while len(_spectra) > _CACHED_BASES:
            _spectra.popitem(last=False)
    return out


def _add(
    out: torch.Tensor,
    spectra: torch.Tensor,
    turns: NDArray[np.int64],
    lit: torch.Tensor,
    weights: torch.Tensor,
    flux: torch.Tensor,
    centre: torch.Tensor,
    trail: torch.Tensor | None = None,
    galaxies: torch.Tensor | None = None,
) -> None:
    """Adds the frames `lit` to `out`, those of one orientation together, CHUNK at a time."""
    for turn in np.unique(turns):
        frames = lit & torch.as_tensor(turns == turn, device=out.device)[:, None]
        for rows in torch.split(torch.nonzero(frames), CHUNK) if frames.any() else ():
            at = (rows[:, 0], rows[:, 1])
            smear = None if trail is None else trail[at]
            behind = None if galaxies is None else (galaxies, rows[:, 0])
            out[at] += _stamps(spectra[turn], weights[at] * flux[at][:, None], centre[at], out.shape[-1], smear, behind)


def _stamps(
    spectra: torch.Tensor,
    weights: torch.Tensor,
    centre: torch.Tensor,
    size: int,
    trail: torch.Tensor | None,
    behind: tuple[torch.Tensor, torch.Tensor] | None,
) -> torch.Tensor:
    """Stamps (R, size, size) of R frames.

    Parameters
    ----------
    spectra : (A, A, J, G, G / 2 + 1)
        Of the basis images.
    weights : (R, J)
    centre : (R, 2), px
    size : int, px
    trail : (R, 2) or None, px
    behind : ((N, A, A, G, G / 2 + 1), (R,)) or None
        Spectra of galaxies and which of them each frame shows.
    """
    n_alias, _, _, grid, half = spectra.shape
    alias, rows, columns = (torch.as_tensor(k, dtype=weights.dtype, device=weights.device) for k in _frequencies(n_alias, grid))
    turn = -2 * np.pi * centre
    real = torch.view_as_real(spectra).flatten(3)
    total = torch.zeros((len(weights), grid, half), dtype=spectra.dtype, device=spectra.device)
    for a in range(n_alias):
        fy = (alias[a] * grid + rows) / grid
        part = torch.zeros_like(total)
        for b in range(n_alias):
            fx = (alias[b] * grid + columns) / grid
            term = torch.view_as_complex((weights @ real[a, b]).view(len(weights), grid, half, 2))
            if behind is not None:
                term *= behind[0][behind[1], a, b]
            if trail is not None:
                term *= torch.sinc(fy[:, None] * trail[:, 1, None, None] + fx * trail[:, 0, None, None])
            part.addcmul_(term, _phase(turn[:, :1] * fx)[:, None, :])
        total.addcmul_(part, _phase(turn[:, 1:] * fy)[:, :, None])
    lines = torch.fft.ifft(total, dim=1)[:, :size]
    stamps: torch.Tensor = torch.fft.irfft(lines, n=grid, dim=2)
    return stamps[:, :, :size]


def _phase(angle: torch.Tensor) -> torch.Tensor:
    return torch.polar(torch.ones_like(angle), angle)

"""Renders stamps for a whole batch: PSF x phase ramp x flux in Fourier space, plus host galaxies behind the same PSF.

Spectra are taken on the oversampled grid and folded (the alias sum of sampling at native pixels) before the inverse
transform, so that the finer grid is paid for once per basis image and not once per stamp. Sources within a pixel of the
middle, nearly all of them, need no transform: polynomials in the shift weigh images that were transformed once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.fft import next_fast_len

from skyreel.errors import DataError
from skyreel.simulate.render_tables import NEAR, PSFTables, aliases, cells, frequencies, psf_tables, shift_terms

CHUNK = 128
"""Frames transformed together: bounds memory; a constant, so that results do not depend on the machine."""

NEAR_CHUNK = 1024
"""Frames near the middle summed together."""

ORIENTATIONS = 8


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
    blur: ArrayLike | None = None,
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
    blur : (n, T) or (n,) or None
        Standard deviation of a circular Gaussian that widens the source, not its host: a small galaxy [px].
    dtype : torch.float32 or torch.float64
        Single precision is within 1e-5 of the peak of double, for point sources narrower than 2.5 px within 1e-4.
    device : str or torch.device
        Where everything is computed and the stamps stay; arguments may be arrays or tensors of any device.

    Returns
    -------
    (n, T, size, size) tensor, axes (object, epoch, y, x)

    Raises
    ------
    DataError
        If shapes do not fit each other.
    """
    w, f, c = (_tensor(value, dtype, device) for value in (coefficients, flux, centre))
    turns = np.asarray(orientation, np.int64)
    n, epochs = f.shape
    samples = grid * oversample
    _shape("psf_basis", psf_basis.shape, (w.shape[-1], samples, samples))
    _shape("coefficients", w.shape, (n, epochs, len(psf_basis)))
    _shape("centre", c.shape, (n, epochs, 2))
    _shape("orientation", turns.shape, (n,))
    smear = None if trail is None else _tensor(trail, dtype, device)
    if smear is not None:
        _shape("trail", smear.shape, (n, epochs, 2))
    wide = None if blur is None else _tensor(blur, dtype, device)
    if wide is not None:
        wide = wide[:, None].expand(n, epochs) if tuple(wide.shape) == (n,) else wide
        _shape("blur", wide.shape, (n, epochs))

    # The PSF stays upright: everything else is turned back, and the finished stamps are turned.
    back = torch.as_tensor(_turn_matrices()[turns], dtype=dtype, device=device)
    c = torch.einsum("ntv,nvw->ntw", c, back)
    smear = None if smear is None else torch.einsum("ntv,nvw->ntw", smear, back)
    tables = psf_tables(psf_basis, size, oversample, grid, dtype, device)
    out = torch.zeros((n, epochs, size, size), dtype=dtype, device=device)
    lit = (f != 0) & (c.abs() <= grid / 2).all(dim=-1)
    near = lit & (c.abs() <= NEAR).all(dim=-1) & (dtype == torch.float32)
    if smear is not None:
        near &= (smear == 0).all(dim=-1)
    if wide is not None:
        near &= wide == 0
    _add_near(out, tables, near, w, f, c)
    _add_far(out, tables, lit & ~near, w, f, c, smear, wide)
    if host_image is not None:
        images = _tensor(host_image, dtype, device)
        counts = _tensor(0 if host_flux is None else host_flux, dtype, device)
        bands = torch.zeros((n, epochs), dtype=torch.int64, device=device) if host_band is None else _tensor(host_band, torch.int64, device)
        shift = torch.zeros_like(c) if host_shift is None else _tensor(host_shift, dtype, device)
        _shape("host_image", images.shape, (n, *images.shape[1:2], samples, samples))
        for name, tensor, shape in (("flux", counts, (n, epochs)), ("band", bands, (n, epochs)), ("shift", shift, (n, epochs, 2))):
            _shape(f"host_{name}", tensor.shape, shape)
        shift = torch.einsum("ntv,nvw->ntw", shift, back)
        _add_hosts(out, tables, images, turns, w, counts, bands, shift)
    for turn in np.unique(turns[turns > 0]):
        for few in _chunks(torch.as_tensor(np.flatnonzero(turns == turn), device=device), max(1, NEAR_CHUNK // max(1, epochs))):
            out[few] = _oriented(out[few], int(turn))
    return out


def _tensor(value: Any, dtype: torch.dtype, device: str | torch.device) -> torch.Tensor:
    """Anything array-like, tensors of any device included."""
    return torch.as_tensor(value if isinstance(value, torch.Tensor) else np.require(value, requirements="W"), dtype=dtype, device=device)


def _shape(name: str, found: Any, wanted: tuple[int, ...]) -> None:
    if tuple(found) != wanted:
        raise DataError(f"render: {name}", f"shape {tuple(found)}", f"expected {wanted}")


def _turn_matrices() -> NDArray[np.float64]:
    """What `orient` does to vectors (x, y), (8, 2, 2): new = matrix old."""
    quarter, mirror = np.array([[0.0, 1.0], [-1.0, 0.0]]), np.diag([-1.0, 1.0])
    turns = [np.linalg.matrix_power(quarter, turn % 4) @ (mirror if turn >= 4 else np.eye(2)) for turn in range(ORIENTATIONS)]
    return np.stack(turns)


def _oriented(images: torch.Tensor, turn: int) -> torch.Tensor:
    """`orient` for tensors."""
    return torch.rot90(images.flip(-1) if turn >= 4 else images, turn % 4, dims=(-2, -1))


def _chunks(rows: torch.Tensor, size: int) -> tuple[torch.Tensor, ...]:
    """Parts of at most `size` rows; none of no rows."""
    return torch.split(rows, size) if len(rows) else ()


def _add_near(
    out: torch.Tensor, tables: PSFTables, lit: torch.Tensor, weights: torch.Tensor, flux: torch.Tensor, centre: torch.Tensor
) -> None:
    """Adds sources near the middle, NEAR_CHUNK frames at a time: those of one square of shifts together."""
    for rows in _chunks(torch.nonzero(lit), NEAR_CHUNK):
        at = (rows[:, 0], rows[:, 1])
        square, terms, light = cells(centre[at]), shift_terms(centre[at]), weights[at] * flux[at][:, None]
        stamps = torch.empty((len(rows), tables.size**2), dtype=out.dtype, device=out.device)
        for column, row in torch.unique(square, dim=0).tolist():
            here = torch.nonzero((square[:, 0] == column) & (square[:, 1] == row))[:, 0]
            stamps[here] = (terms[here, :, None] * light[here, None, :]).flatten(1) @ tables.shifted(row, column)
        out[at] = stamps.view(len(rows), *out.shape[2:])


def _add_far(
    out: torch.Tensor,
    tables: PSFTables,
    lit: torch.Tensor,
    weights: torch.Tensor,
    flux: torch.Tensor,
    centre: torch.Tensor,
    trail: torch.Tensor | None,
    blur: torch.Tensor | None,
) -> None:
    """Adds sources of any place and shape, CHUNK frames at a time."""
    for rows in _chunks(torch.nonzero(lit), CHUNK):
        at = (rows[:, 0], rows[:, 1])
        smear, wide = (None if value is None else value[at] for value in (trail, blur))
        out[at] += _stamps(tables, weights[at] * flux[at][:, None], centre[at], smear, wide)


def _add_hosts(
    out: torch.Tensor,
    tables: PSFTables,
    images: torch.Tensor,
    turns: NDArray[np.int64],
    weights: torch.Tensor,
    flux: torch.Tensor,
    band: torch.Tensor,
    shift: torch.Tensor,
) -> None:
    """Adds galaxies: blocks of whole objects, so that a galaxy is transformed once, and of some CHUNK frames."""
    lit = torch.nonzero(flux.any(dim=0))
    epochs = int(lit[-1]) + 1 if len(lit) else 0
    step = max(1, CHUNK // max(1, epochs))
    for begin in range(0, len(flux) if epochs else 0, step):
        objects = slice(begin, begin + step)
        # A turned PSF over a galaxy is an upright one over the galaxy turned back; mirrored turns undo themselves.
        back = [int(turn if turn >= 4 else -turn % 4) for turn in turns[objects]]
        upright = torch.stack([_oriented(image, turn) for image, turn in zip(images[objects], back, strict=True)])
        galaxies = aliases(upright, tables.oversample, tables.grid, deconvolve=True)
        for first in range(0, epochs, CHUNK):
            at = (objects, slice(first, min(first + CHUNK, epochs)))
            behind = galaxies
            if galaxies.shape[1] > 1:
                behind = galaxies[torch.arange(len(back), device=out.device)[:, None], band[at]]
            light = (weights[at] * flux[at][..., None]).flatten(0, 1)
            out[at] += _stamps(tables, light, shift[at].flatten(0, 1), galaxies=behind).view(out[at].shape)


def _stamps(
    tables: PSFTables,
    weights: torch.Tensor,
    centre: torch.Tensor,
    trail: torch.Tensor | None = None,
    blur: torch.Tensor | None = None,
    galaxies: torch.Tensor | None = None,
) -> torch.Tensor:
    """Stamps (R, size, size) of R frames.

    Parameters
    ----------
    tables : PSFTables
    weights : (R, J)
        Of the basis images.
    centre : (R, 2), px
    trail : (R, 2) or None, px
    blur : (R,) or None, px
    galaxies : (k, 1 or L, A, A, G / 2 + 1, G) or None
        Spectra of what each frame shows; R = k L.
    """
    grid, size = tables.grid, tables.size
    fy, fx = (torch.as_tensor(k / grid, dtype=centre.dtype, device=centre.device) for k in frequencies(tables.oversample, grid))
    y, x = _axis(centre[:, 1], fy, blur), _axis(centre[:, 0], fx, blur)
    shape = (len(weights), fy.shape[1], grid)
    total = torch.zeros(shape, dtype=y.dtype, device=y.device)
    for a in range(tables.oversample):
        part = torch.zeros_like(total)
        for b in range(tables.oversample):
            term = torch.view_as_complex((weights @ tables.spectra[a, b]).view(*shape, 2))
            if galaxies is not None:
                term.view(len(galaxies), -1, *shape[1:]).mul_(galaxies[:, :, a, b])
            if trail is not None:
                term *= torch.sinc(fy[a, :, None] * trail[:, 1, None, None] + fx[b] * trail[:, 0, None, None])
            part.addcmul_(term, x[:, b, None, :])
        total.addcmul_(part, y[:, a, :, None])
    lines = torch.fft.ifft(total, dim=2)[:, :, :size]
    stamps: torch.Tensor = torch.fft.irfft(lines, n=grid, dim=1)
    return stamps[:, :size]


def _axis(centre: torch.Tensor, frequency: torch.Tensor, blur: torch.Tensor | None) -> torch.Tensor:
    """What a shift (R,) and a Gaussian do to the frequencies (A, F) [1 / px] of one axis, (R, A, F)."""
    angle = -2 * np.pi * centre[:, None, None] * frequency
    size = torch.ones_like(angle) if blur is None else torch.exp(-2 * (np.pi * blur[:, None, None] * frequency) ** 2)
    return torch.polar(size, angle)

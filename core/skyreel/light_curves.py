"""Light curves: calibrated optimal photometry of whole movies, with errors and quality flags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exposures import Exposures
from skyreel.interfaces import PixelBits
from skyreel.movies import Movies
from skyreel.photometry import Flag, PhotometryOptions
from skyreel.photometry.frames import Frames, Points, measure_frames
from skyreel.photometry.sky import BORDER
from skyreel.photometry.widths import profile_width

__all__ = ["Flag", "LightCurves", "PhotometryOptions", "calibrated", "measure", "usable_pixels"]

CHUNK = 1024
"""Frames measured together: bounds memory. Objects are never split, and results do not depend on it."""
UNUSABLE = PixelBits.BAD | PixelBits.NO_DATA | PixelBits.COSMIC_RAY | PixelBits.SATURATED
"""Pixels left out of the sums. Saturated ones have lost an unknown part of their light."""


@dataclass(frozen=True)
class LightCurves:
    """Calibrated fluxes of n objects at T epochs, masked where nothing was measured.

    Attributes
    ----------
    bands : tuple of str
        Filter names that `band` indexes.
    object_id : str (n,)
    mjd : float64 (n, T), d
        Middle of the exposure.
    band : int8 (n, T)
    flux : float64 (n, T)
        Flux in units of a source of magnitude `zero_point`: mag = zero_point - 2.5 log10(flux), for 25 mag counts / s of
        an image with that zero point. 0 where masked.
    error : float64 (n, T)
        Standard deviation of `flux`, error floor included. 0 where masked.
    mask : bool (n, T)
        True where there is a measurement.
    flags : uint8 (n, T)
        `Flag`.
    sky : float64 (n, T), ADU / px
        Level that was subtracted; 0 where masked.
    centre : float64 (n, T, 2), px
        Position (x, y) relative to the middle of the stamp that was used; 0 where masked.
    zero_point : float, mag
    """

    bands: tuple[str, ...]
    object_id: NDArray[np.str_]
    mjd: NDArray[np.float64]
    band: NDArray[np.int8]
    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    mask: NDArray[np.bool_]
    flags: NDArray[np.uint8]
    sky: NDArray[np.float64]
    centre: NDArray[np.float64]
    zero_point: float = 25.0

    def __post_init__(self) -> None:
        n, epochs = self.flux.shape
        wanted: dict[str, tuple[int, ...]] = dict.fromkeys(("mjd", "band", "error", "mask", "flags", "sky"), (n, epochs))
        for name, shape in {**wanted, "object_id": (n,), "centre": (n, epochs, 2)}.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"light curves: {name}", f"shape {getattr(self, name).shape}", f"flux {self.flux.shape} asks for {shape}")

    def __len__(self) -> int:
        return len(self.flux)

    @property
    def snr(self) -> NDArray[np.float64]:
        """Flux over error (n, T); 0 where masked."""
        return np.divide(self.flux, self.error, out=np.zeros_like(self.flux), where=self.mask)

    def magnitudes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Magnitude and its error, 2.5 / ln(10) error / flux, both (n, T) [mag]; NaN where masked or the flux is not positive."""
        flux = np.where(self.mask & (self.flux > 0), self.flux, np.nan)
        return self.zero_point - 2.5 * np.log10(flux), 2.5 / np.log(10) * self.error / flux

    def take(self, objects: Any) -> LightCurves:
        """The chosen objects (indices, slice or boolean mask)."""
        chosen = {item.name: getattr(self, item.name)[objects] for item in fields(self) if item.name not in ("bands", "zero_point")}
        return replace(self, **chosen)


_DEFAULT = PhotometryOptions()


def measure(movies: Movies, options: PhotometryOptions = _DEFAULT) -> LightCurves:
    """Light curves by optimal photometry of the first channel, from what is reported about the exposures.

    With the profile P of the reported width at the position of the source and the variance V of each pixel,
    F = sum(P D / V) / sum(P^2 / V) (Horne 1986, PASP 98, 609, eq. 8; Naylor 1998, MNRAS 296, 339), calibrated by eq. 1 of
    Carrasco-Davis et al. 2018.

    Parameters
    ----------
    movies : Movies
        Stamps of any height and width. Unusable frames, and pixels that are masked or not finite, are left out.
    options : PhotometryOptions

    Returns
    -------
    LightCurves, (n, T)
        Each object's is a function of its own frames alone, to the last bit.

    Raises
    ------
    DataError
        For conditions of usable frames that are not finite or not positive, and stamps too small for a border.
    """
    mask = movies.frame_mask & movies.reported.mask
    _check(movies, mask, options)
    height, width = movies.pixels.shape[-2:]
    if options.sky == "border" and min(height, width) <= 2 * BORDER:
        asked, found = "photometry.sky='border'", f"stamps of {height} x {width} px"
        raise DataError(asked, found, f"use sky='reported' or stamps larger than {2 * BORDER} px")
    parts = [measure_frames(_frames(movies, rows, mask, options), options) for rows in _chunks(mask)]
    return calibrated(movies, movies.reported, mask, Points.joined(parts), options)


def calibrated(movies: Movies, exposures: Exposures, mask: NDArray[np.bool_], points: Points, options: PhotometryOptions) -> LightCurves:
    """Light curves from counts.

    Parameters
    ----------
    movies : Movies
    exposures : Exposures, (n, T)
        Whose zero point and exposure time calibrate.
    mask : bool (n, T)
        The m frames that were measured.
    points : Points, (m,)
        In the order of ``np.nonzero(mask)``.
    options : PhotometryOptions
    """
    factor = flux_per_count(exposures, mask, options.zero_point)
    empty = (points.flags & Flag.EMPTY) > 0
    flux = np.where(empty, 0.0, points.flux) * factor
    error = np.hypot(np.where(empty, 0.0, points.error) * factor, options.error_floor * flux)

    def spread(column: NDArray[Any], fill: Any = 0) -> NDArray[Any]:
        out = np.full((*mask.shape, *column.shape[1:]), fill, column.dtype)
        out[mask] = column
        return out

    return LightCurves(
        exposures.bands,
        movies.object_id,
        exposures.mid_mjd,
        exposures.band,
        spread(flux),
        spread(error),
        spread(~empty),
        spread(points.flags, Flag.EMPTY.value),
        spread(points.sky),
        spread(points.centre),
        options.zero_point,
    )


def flux_per_count(exposures: Exposures, mask: NDArray[np.bool_], zero_point: float) -> NDArray[np.float64]:
    """Calibrated flux of 1 ADU (m,) by eq. 1 of the paper, 10^(0.4 (zero_point - zp)) / exptime, for the frames of `mask`."""
    step = zero_point - exposures.zero_point[mask].astype(np.float64)
    return np.asarray(10.0 ** (0.4 * step) / exposures.exptime[mask])


def usable_pixels(movies: Movies, chosen: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Counts (m, H, W) of the first channel, which pixels count, and which are saturated.

    Parameters
    ----------
    movies : Movies
    chosen
        Index of the m frames on the first two axes.
    """
    counts = movies.pixels[:, :, 0][chosen].astype(np.float32)
    bits = movies.pixel_mask[:, :, 0][chosen]
    good = np.isfinite(counts) & (bits & UNUSABLE == 0)
    return np.where(good, counts, 0), good, bits & PixelBits.SATURATED > 0


def _frames(movies: Movies, rows: slice, mask: NDArray[np.bool_], options: PhotometryOptions) -> Frames:
    owner, epoch = np.nonzero(mask[rows])
    chosen = (owner + rows.start, epoch)
    part = movies.reported.take(rows)
    columns = {name: getattr(movies.reported, column)[chosen] for name, column in _COLUMNS.items()}
    if options.width == "fitted":
        columns["fwhm"] = profile_width(columns["fwhm"], options.profile, options.beta)
    counts, good, saturated = usable_pixels(movies, chosen)
    return Frames(counts, good, saturated, owner, len(part), factor=flux_per_count(part, mask[rows], options.zero_point), **columns)


_COLUMNS = {"fwhm": "psf_fwhm", "sky": "sky", "gain": "gain", "read_noise": "read_noise"}


def _chunks(mask: NDArray[np.bool_]) -> Iterator[slice]:
    """Runs of whole objects with at most `CHUNK` frames, one object at least."""
    number = mask.sum(axis=1)
    start, frames = 0, 0
    for row, count in enumerate(number.tolist()):
        if row > start and frames + count > CHUNK:
            yield slice(start, row)
            start, frames = row, 0
        frames += count
    yield slice(start, len(number))


def _check(movies: Movies, mask: NDArray[np.bool_], options: PhotometryOptions) -> None:
    for name in ("psf_fwhm", "gain", "exptime", "zero_point", "sky", "read_noise"):
        column = getattr(movies.reported, name)
        bad = ~np.isfinite(column) if name in ("zero_point", "sky", "read_noise") else ~(np.isfinite(column) & (column > 0))
        if (bad & mask).any():
            row, epoch = (int(index[0]) for index in np.nonzero(bad & mask))
            raise DataError(
                f"photometry: exposures.{name}",
                f"{column[row, epoch]} in object {str(movies.object_id[row])!r}, frame {epoch}",
                "mask that frame or correct the value",
            )

"""Observing conditions of n objects at up to T epochs: Table 1 of Carrasco-Davis et al. 2018 as arrays.

Two copies travel with every movie: the *true* one renders the image, the *reported* one is all that a classifier sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import BandError, DataError

DTYPES: dict[str, type[np.generic]] = {
    "mask": np.bool_,
    "mjd": np.float64,
    "band": np.int8,
    "exptime": np.float32,
    "seeing": np.float32,
    "psf_fwhm": np.float32,
    "airmass": np.float32,
    "sky": np.float32,
    "zero_point": np.float32,
    "limiting_mag": np.float32,
    "exposure_id": np.int64,
    "field": np.int32,
    "ccd": np.int16,
    "gain": np.float32,
    "read_noise": np.float32,
    "saturation": np.float32,
}
UNITS = {
    "mjd": "d",
    "exptime": "s",
    "seeing": "arcsec",
    "psf_fwhm": "pix",
    "sky": "adu / pix",
    "zero_point": "mag",
    "limiting_mag": "mag",
    "gain": "electron / adu",
    "read_noise": "electron",
    "saturation": "adu",
}


@dataclass(frozen=True)
class Exposures:
    """Conditions of n objects at T epochs; every array is (n, T).

    Attributes
    ----------
    bands : tuple of str
        Filter names that `band` indexes.
    mask : bool
        True where the exposure exists; elsewhere every value is padding (finite, meaningless).
    mjd : float64, d
        Start of the exposure. Light curves are taken at mid-exposure, see `mid_mjd`.
    band : int8
        Index into `bands`.
    exptime : float32, s
    seeing : float32, arcsec
        As the header reports it (not the width of a star on the stamp).
    psf_fwhm : float32, px
        Full width at half maximum of a star on the stamp.
    airmass : float32
    sky : float32, ADU / px
    zero_point : float32, mag
        Magnitude that gives 1 ADU / s (eq. 1 of the paper).
    limiting_mag : float32, mag
        5 sigma.
    exposure_id : int64
        Equal for all objects of one exposure of one field; seeds the per-exposure draws.
    field, ccd : int32, int16
    gain : float32, electron / ADU
    read_noise : float32, electron
    saturation : float32, ADU
    """

    bands: tuple[str, ...]
    mask: NDArray[np.bool_]
    mjd: NDArray[np.float64]
    band: NDArray[np.int8]
    exptime: NDArray[np.float32]
    seeing: NDArray[np.float32]
    psf_fwhm: NDArray[np.float32]
    airmass: NDArray[np.float32]
    sky: NDArray[np.float32]
    zero_point: NDArray[np.float32]
    limiting_mag: NDArray[np.float32]
    exposure_id: NDArray[np.int64]
    field: NDArray[np.int32]
    ccd: NDArray[np.int16]
    gain: NDArray[np.float32]
    read_noise: NDArray[np.float32]
    saturation: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        shape = np.shape(self.mjd)
        for name, dtype in DTYPES.items():
            array = np.asarray(getattr(self, name), dtype)
            if array.shape != shape or array.ndim != 2:
                raise DataError(f"exposures.{name}", f"shape {array.shape}, mjd has {shape}", "every column must be (objects, epochs)")
            object.__setattr__(self, name, array)

    @property
    def shape(self) -> tuple[int, int]:
        """(number of objects, number of epochs)."""
        return int(self.mjd.shape[0]), int(self.mjd.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def mid_mjd(self) -> NDArray[np.float64]:
        """Middle of each exposure [d]."""
        return np.asarray(self.mjd + 0.5 * self.exptime / 86400.0, np.float64)

    def replace(self, **columns: Any) -> Exposures:
        """A copy with some columns exchanged."""
        return replace(self, **columns)

    def _apply(self, function: Any) -> Exposures:
        return Exposures(self.bands, **{name: function(getattr(self, name)) for name in DTYPES})

    def take(self, objects: Any) -> Exposures:
        """The chosen objects (indices, slice or boolean mask over the first axis)."""
        return self._apply(lambda column: column[objects])

    def gather(self, index: NDArray[np.intp], mask: NDArray[np.bool_]) -> Exposures:
        """The epochs named by `index`, one row per object.

        Parameters
        ----------
        index : int, (n, S)
            Epoch of each kept frame; entries outside ``0..T-1`` are clipped and must be masked.
        mask : bool, (n, S)
            False where the entry is padding.
        """
        index = np.clip(index, 0, self.shape[1] - 1)
        out = self._apply(lambda column: np.take_along_axis(column, index, axis=1))
        return out.replace(mask=out.mask & mask)

    def window(self, start: NDArray[np.intp], length: int) -> Exposures:
        """`length` consecutive epochs from `start` (n,) on; epochs past the end are masked."""
        index = np.asarray(start)[:, None] + np.arange(length)
        return self.gather(index, (index >= 0) & (index < self.shape[1]))

    def compact(self, keep: NDArray[np.bool_]) -> Exposures:
        """Drops the frames where `keep` (n, T) is False and moves the rest to the front, in time order."""
        keep = keep & self.mask
        order = np.argsort(~keep, axis=1, kind="stable")
        width = max(int(keep.sum(axis=1).max(initial=0)), 1)
        index = order[:, :width]
        return self.gather(index, np.take_along_axis(keep, index, axis=1))

    def pad(self, epochs: int) -> Exposures:
        """The same exposures with the epoch axis widened to `epochs` by masked frames."""
        n, have = self.shape
        index = np.broadcast_to(np.arange(max(epochs, have)), (n, max(epochs, have)))
        return self.gather(index, index < have)

    @staticmethod
    def concatenate(parts: Sequence[Exposures]) -> Exposures:
        """Joins objects; shorter parts are padded with masked frames.

        Raises
        ------
        BandError
            If the parts index different band lists.
        """
        if len({part.bands for part in parts}) != 1:
            raise BandError("joining exposures", f"band lists {sorted({p.bands for p in parts})}", "simulate them with one survey")
        width = max(part.shape[1] for part in parts)
        wide = [part.pad(width) for part in parts]
        return Exposures(parts[0].bands, **{name: np.concatenate([getattr(p, name) for p in wide]) for name in DTYPES})

    def check(self, who: str, names: NDArray[np.str_] | None = None) -> None:
        """Raises DataError where exposures that exist are not usable.

        Checked: at least one object and epoch each, finite values, strictly increasing MJD, band indices in range,
        positive exposure time, gain and PSF width. `names` (n,) are the objects' names for the message.
        """
        if 0 in self.shape or not self.mask.any(axis=1).all():
            raise DataError(f"{who}: exposures", "an empty sequence", "every object needs at least one exposure")
        for item in fields(self):
            if item.name in ("bands", "mask"):
                continue
            column = getattr(self, item.name)
            if column.dtype.kind == "f" and not np.isfinite(column[self.mask]).all():
                raise DataError(f"{who}: exposures.{item.name}", "NaN or infinite values", "mask those frames or fill them in")
        for name in ("exptime", "psf_fwhm", "gain", "saturation"):
            if not (getattr(self, name)[self.mask] > 0).all():
                raise DataError(f"{who}: exposures.{name}", "values that are not positive", "mask those frames or correct them")
        last = np.maximum.accumulate(np.where(self.mask, self.mjd, -np.inf), axis=1)
        later = self.mask[:, 1:] & (self.mjd[:, 1:] <= last[:, :-1])
        if later.any():
            row, epoch = (int(i[0]) for i in np.nonzero(later))
            name = str(row) if names is None else repr(str(names[row]))
            raise DataError(
                f"{who}: exposures.mjd",
                f"object {name}, epoch {epoch + 1}: MJD {self.mjd[row, epoch + 1]:.6f} does not follow {last[row, epoch]:.6f}",
                "sort the frames by MJD and drop duplicates",
            )
        used = self.band[self.mask]
        if used.size and (used.min() < 0 or used.max() >= len(self.bands)):
            raise BandError(f"{who}: exposures.band", f"index {used.min()}..{used.max()}", f"bands are {', '.join(self.bands)}")

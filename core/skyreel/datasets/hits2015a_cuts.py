"""Which pixels, frames and objects of the HiTS 2015A stamps can be used, and what the others are counted as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.datasets.ragged import Columns, Grid
from skyreel.errors import ConfigError
from skyreel.interfaces import PixelBits

USABLE = ""
NO_FRAME = PixelBits.NO_DATA
LARGEST_PIXEL = 1e6
"""No pixel of the camera reaches it [ADU]; the source marks bad pixels with 9.998e7 and with -9999."""
LARGEST_CHANGE = 5.0
"""A point of a star's light curve farther than this from its median [mag] is no measurement: the deepest eclipses of
Algols, and the amplitudes of RR Lyrae, are smaller."""


@dataclass
class HitsOptions:
    """Options of the data sets `hits2015a` and `hits2015a_raw`.

    Parameters
    ----------
    split : str
        Which sky fields: in `hits2015a` the folder of the class files within the data set's folder, in `hits2015a_raw`
        'dev' (the fields of that folder), 'holdout' (the other fields) or 'all'.
    bands : tuple of str
        Filters that the movies' band index refers to; frames in others are masked. All stamps are g.
    max_seeing : float, arcsec
        Frames with this header seeing or more are masked (section 2.3 of the paper: 2).
    min_zero_point : float, mag
        Frames with a smaller zero point are masked as cloudy (clear g exposures have 24.9 to 25.1).
    saturation : float, ADU
        Pixels at or above it are flagged as saturated.
    max_bad_fraction : float
        Frames with a larger share of bad pixels are masked.
    detection_sigma : float
        A supernova's first alert is the first usable frame with a difference flux above this many sigma (section 4: 5).
    before_alert : int
        Usable frames kept before the first alert when the frames of a supernova's sequence are counted (section 3.1: 5).
    min_frames : int
        Objects with fewer usable frames in the sequence are left out.
    drop_duplicates : bool
        Keep one movie of supernovae that are listed under two names.
    bright_only : bool
        Keep only the supernovae that the paper's authors scored (largest difference flux above 1500 ADU).
    """

    split: str = "dev"
    bands: tuple[str, ...] = ("g",)
    max_seeing: float = field(default=2.0, metadata={"unit": "arcsec"})
    min_zero_point: float = field(default=24.0, metadata={"unit": "mag"})
    saturation: float = field(default=35000.0, metadata={"unit": "ADU"})
    max_bad_fraction: float = 0.25
    detection_sigma: float = 5.0
    before_alert: int = 5
    min_frames: int = 5
    drop_duplicates: bool = False
    bright_only: bool = False

    def __post_init__(self) -> None:
        for name in ("max_seeing", "saturation", "detection_sigma", "min_frames"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"dataset.{name}", str(getattr(self, name)), "it must be positive")
        if self.before_alert < 0:
            raise ConfigError("dataset.before_alert", str(self.before_alert), "it must be 0 or more")
        if not 0 <= self.max_bad_fraction <= 1:
            raise ConfigError("dataset.max_bad_fraction", str(self.max_bad_fraction), "it must lie in [0, 1]")


def pixel_bits(stamps: NDArray[np.float32], saturation: float) -> NDArray[np.uint8]:
    """Pixel mask (N, H, W) of stamps [ADU] in the same shape.

    Bad: not finite, zero or negative (the sky alone gives 100 ADU), or above `LARGEST_PIXEL`. Saturated: at or above
    `saturation` [ADU] and not bad.
    """
    bad = ~((stamps > 0) & (stamps <= LARGEST_PIXEL))
    saturated = ~bad & (stamps >= saturation)
    return (bad * PixelBits.BAD + saturated * PixelBits.SATURATED).astype(np.uint8)


def frame_fault(
    data: Columns, bits: NDArray[np.uint8], row: NDArray[np.intp], exists: NDArray[np.bool_], options: HitsOptions
) -> NDArray[np.str_]:
    """The first rule that each frame (N,) breaks, '' for usable ones.

    Parameters
    ----------
    data : Columns
        Needs ``stamps`` [ADU], ``cond_zero_point`` [mag], ``cond_seeing_arcsec`` [arcsec].
    bits : uint8 (N, H, W)
        Pixel mask.
    row : int (N,)
        Row of the conditions, -1 for none.
    exists : bool (N,)
        Conditions finite and band known.
    options : HitsOptions
    """
    stamps = data["stamps"]
    axes = (1, 2)
    broken = {
        "no conditions": row < 0,
        "blank image": (stamps == stamps[:, :1, :1]).all(axis=axes),
        "zero point": ~(data["cond_zero_point"] >= options.min_zero_point),
        "seeing": ~(data["cond_seeing_arcsec"] < options.max_seeing),
        "conditions not finite or another band": ~exists,
        "bad pixels": (bits == PixelBits.BAD).mean(axis=axes) > options.max_bad_fraction,
    }
    return np.select(list(broken.values()), list(broken), USABLE)


def signal_to_noise(data: Columns) -> NDArray[np.float64]:
    """Difference flux over its error (N,); NaN without a measurement."""
    error = np.where(data["frame_diff_adu_err"] > 0, data["frame_diff_adu_err"], np.nan)
    return np.asarray(data["frame_diff_adu"] / error)


def peak(snr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest value (n,) over the epochs (n, T); NaN for objects without a measurement."""
    known = np.isfinite(snr)
    largest = np.where(known, snr, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(known.any(axis=1), largest, np.nan)


def mean_magnitude(data: Columns, label: NDArray[np.str_], grid: Grid) -> NDArray[np.float64]:
    """Mean magnitude (n,) of each star's light curve, the listed one of stars without one, NaN for supernovae.

    Points farther than `LARGEST_CHANGE` from the star's median are left out: one eclipsing binary has a point 6.9 mag too bright.
    """
    mags = grid.spread(data["frame_mag"], np.nan)
    in_order = np.sort(mags, axis=1)  # NaN last
    measured = np.isfinite(mags).sum(axis=1)
    median = in_order[np.arange(len(mags)), measured // 2]
    good = np.abs(mags - median[:, None]) < LARGEST_CHANGE
    mean = np.where(good, mags, 0).sum(axis=1) / np.maximum(good.sum(axis=1), 1)
    star = label != "supernova"
    return np.where(star, np.where(good.any(axis=1), mean, data["obj_mean_mag"]), np.nan)


def first_detection(usable: NDArray[np.bool_], snr: NDArray[np.float64], alerts: NDArray[np.bool_], sigma: float) -> NDArray[np.int32]:
    """Index of the first usable frame above `sigma` (section 4 of the paper), -1 if there is none.

    Parameters
    ----------
    usable : bool (n, T)
    snr : float (n, T)
    alerts : bool (n,)
        False for classes without an alert.
    sigma : float
    """
    detected = usable & (snr > sigma) & alerts[:, None]
    return np.where(detected.any(axis=1), detected.argmax(axis=1), -1).astype(np.int32)


def sequence_length(usable: NDArray[np.bool_], first: NDArray[np.int32], before_alert: int) -> NDArray[np.intp]:
    """Usable frames (n,) from `before_alert` usable ones before the first alert on; of the whole movie without an alert."""
    epochs = np.arange(usable.shape[1])
    earlier = (usable & (epochs < first[:, None])).sum(axis=1)
    return np.asarray(usable.sum(axis=1) - np.maximum(earlier - before_alert, 0))


def object_fault(
    data: Columns,
    label: NDArray[np.str_],
    usable: NDArray[np.bool_],
    first: NDArray[np.int32],
    group: NDArray[np.str_],
    options: HitsOptions,
) -> NDArray[np.str_]:
    """The first rule that each object (n,) breaks, '' for usable ones."""
    supernova = label == "supernova"
    broken = {
        "light curve not usable": supernova & ~data["obj_lc_usable"],
        "not in the bright subset": supernova & ~data["obj_bright_subset"] & options.bright_only,
        "no detection": supernova & (first < 0),
        "too few frames": sequence_length(usable, first, options.before_alert) < options.min_frames,
    }
    fate = np.select(list(broken.values()), list(broken), USABLE)
    if options.drop_duplicates:
        kept = np.flatnonzero(fate == USABLE)
        again = np.ones(len(kept), np.bool_)
        again[np.unique(group[kept], return_index=True)[1]] = False
        fate = fate.astype("U32")
        fate[kept[again]] = "duplicate"
    return fate


def tally(
    classes: Sequence[str],
    label: NDArray[np.str_],
    fate: NDArray[np.str_],
    fault: NDArray[np.str_],
    objects: NDArray[np.intp],
    bits: NDArray[np.uint8],
) -> dict[str, Any]:
    """`Dataset.counts`.

    Parameters
    ----------
    classes : sequence of str
    label, fate : str (n,)
        Class and broken rule of each object.
    fault : str (N,)
        Broken rule of each frame.
    objects : int (N,)
        Object of each frame.
    bits : uint8 (N, H, W)
    """
    frame_label = label[objects]
    return {
        "objects": {name: int((label == name).sum()) for name in classes},
        "kept": {name: int(((label == name) & (fate == USABLE)).sum()) for name in classes},
        "left_out": {name: _reasons(fate[label == name]) for name in classes},
        "masked_frames": {name: _reasons(fault[frame_label == name]) for name in classes},
        "flagged_pixels": {
            "bad": int((bits == PixelBits.BAD).sum()),
            "saturated": int((bits == PixelBits.SATURATED).sum()),
        },
    }


def _reasons(why: NDArray[np.str_]) -> dict[str, int]:
    names, numbers = np.unique(why[why != USABLE], return_counts=True)
    return {str(name): int(number) for name, number in zip(names, numbers, strict=True)}

"""The stepwise twin of `sequences.build_sequences`: one image of each object at a time, with the state carried along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exposures import Exposures
from skyreel.preprocessing import (
    UNUSABLE,
    SequenceOptions,
    calibrated,
    calibrated_flux,
    calibration,
    condition_vectors,
    n_conditions,
    scaled,
)
from skyreel.sequences import Sequences


@dataclass(frozen=True)
class SequenceState:
    """What `advance` remembers of n objects between two images.

    Attributes
    ----------
    frames : float32 (n, n_w, C, H, W)
        Last calibrated images (eq. 4) [ADU on the first image's scale], the newest last.
    mjd : float64 (n, n_w)
        Their times [d].
    conditions : float32 (n, n_w, K)
        Their normalised conditions.
    count : int64 (n,)
        Images seen.
    first_mjd : float64 (n,)
        Time of the first image [d].
    zp_ref : float64 (n,)
        Zero point of the first image [mag].
    exptime_ref : float64 (n,)
        Exposure time of the first image [s].
    running_max : float64 (n,)
        Largest PSF-weighted flux so far [ADU on the first image's scale].
    """

    frames: NDArray[np.float32]
    mjd: NDArray[np.float64]
    conditions: NDArray[np.float32]
    count: NDArray[np.int64]
    first_mjd: NDArray[np.float64]
    zp_ref: NDArray[np.float64]
    exptime_ref: NDArray[np.float64]
    running_max: NDArray[np.float64]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The state as plain arrays by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> SequenceState:
        """The inverse of `to_arrays`; DataError for missing or foreign names and for shapes that disagree."""
        names = {item.name for item in fields(cls)}
        if set(arrays) != names:
            raise DataError("sequence state", f"arrays {sorted(arrays)}", f"it consists of {sorted(names)}")
        state = cls(**arrays)
        n, stacked = state.frames.shape[:2] if state.frames.ndim == 5 else (-1, -1)
        flat = ("count", "first_mjd", "zp_ref", "exptime_ref", "running_max")
        fits = state.mjd.shape == state.conditions.shape[:2] == (n, stacked) and all(arrays[name].shape == (n,) for name in flat)
        if not fits:
            raise DataError("sequence state", f"shapes { {name: array.shape for name, array in arrays.items()} }", "start a new state")
        return state


def initial_sequence_state(n: int, options: SequenceOptions, channels: int, size: int, n_conditions: int) -> SequenceState:
    """State of n objects before their first image: stamps of `size` x `size` px with `channels` images each."""
    stacked = (n, options.n_stacked)
    return SequenceState(
        frames=np.zeros((*stacked, channels, size, size), np.float32),
        mjd=np.zeros(stacked),
        conditions=np.zeros((*stacked, n_conditions), np.float32),
        count=np.zeros(n, np.int64),
        first_mjd=np.zeros(n),
        zp_ref=np.zeros(n),
        exptime_ref=np.ones(n),
        running_max=np.full(n, options.flux_floor),
    )


def advance(
    state: SequenceState,
    frame: NDArray[Any],
    exposure: Exposures,
    options: SequenceOptions,
    pixel_mask: NDArray[np.uint8] | None = None,
) -> tuple[Sequences, SequenceState]:
    """One more image of each object: the step that ``build_sequences(incomplete=True)`` gives for it.

    Parameters
    ----------
    state : SequenceState
        It is not changed.
    frame : array (n, C, H, W)
        Raw ADU.
    exposure : Exposures, (n, 1)
        Reported conditions; where its mask is False the object keeps its state and the step is masked.
    options : SequenceOptions
        Those of the state.
    pixel_mask : uint8 (n, C, H, W) or None
        `interfaces.PixelBits`; None: every pixel is good.

    Returns
    -------
    sequences : Sequences
        With S = 1; `frame` counts the images of each object from 0.
    state : SequenceState

    Raises
    ------
    DataError
        For shapes that disagree with the state, an MJD that does not follow the last one, or values that are not finite.
    BandError
        For a band index outside the exposure's bands.
    """
    images = np.asarray(frame)[:, None]
    bits = np.zeros(images.shape, np.uint8) if pixel_mask is None else pixel_mask[:, None]
    _check_step(state, images, bits, exposure, options)
    active = exposure.mask[:, 0]
    first = active & (state.count == 0)
    zp_ref = np.where(first, exposure.zero_point[:, 0], state.zp_ref)
    exptime_ref = np.where(first, exposure.exptime[:, 0], state.exptime_ref)
    bad = ((bits & UNUSABLE) != 0) | ~active[:, None, None, None, None]
    factor = calibration(exposure, zp_ref, exptime_ref)
    running_max = state.running_max
    if options.scaling == "running_max":
        running_max = np.maximum(running_max, calibrated_flux(images, bad, exposure, factor)[:, 0])
    new = SequenceState(
        frames=_push(state.frames, calibrated(images, bad, exposure, factor), active, first),
        mjd=_push(state.mjd, exposure.mjd, active, first),
        conditions=_push(state.conditions, condition_vectors(exposure, options), active, first),
        count=state.count + active,
        first_mjd=np.where(first, exposure.mjd[:, 0], state.first_mjd),
        zp_ref=zp_ref,
        exptime_ref=exptime_ref,
        running_max=running_max,
    )
    mask = exposure.mask
    days = (new.mjd - new.first_mjd[:, None]).astype(np.float32)
    step = Sequences(
        stacks=scaled(new.frames[:, None].copy(), running_max[:, None], mask, options),
        dt=np.where(mask[..., None], days[:, None], np.float32(0)),
        conditions=np.where(mask[..., None, None], new.conditions[:, None], np.float32(0)),
        mask=mask,
        complete=mask & (new.count >= options.n_stacked)[:, None],
        frame=np.where(mask, new.count[:, None] - 1, -1),
    )
    return step, new


def _check_step(state: SequenceState, images: NDArray[Any], bits: NDArray[np.uint8], exposure: Exposures, options: SequenceOptions) -> None:
    wanted = (len(state.count), 1, *state.frames.shape[2:])
    if images.shape != wanted or bits.shape != wanted:
        raise DataError("stepwise sequence: frame", f"shape {images[:, 0].shape}", f"the state asks for {(wanted[0], *wanted[2:])}")
    if exposure.shape != wanted[:2]:
        raise DataError("stepwise sequence: exposure", f"shape {exposure.shape}", f"the state asks for {wanted[:2]}")
    have, asked = (state.frames.shape[1], state.conditions.shape[2]), (options.n_stacked, n_conditions(options, exposure.bands))
    if have != asked:
        raise DataError("stepwise sequence: options", f"n_stacked and number of conditions {asked}", f"the state has {have}")
    active = exposure.mask[:, 0]
    if active.any():
        exposure.take(active).check("stepwise sequence")
    back = active & (state.count > 0) & (exposure.mjd[:, 0] <= state.mjd[:, -1])
    if back.any():
        row = int(np.nonzero(back)[0][0])
        found = f"object {row}: MJD {exposure.mjd[row, 0]:.6f} does not follow {state.mjd[row, -1]:.6f}"
        raise DataError("stepwise sequence: exposure.mjd", found, "feed the images in time order and drop duplicates")


def _push(window: NDArray[Any], new: NDArray[Any], active: NDArray[np.bool_], first: NDArray[np.bool_]) -> NDArray[Any]:
    """The window with `new` (n, 1, ...) as its newest entry; a first image fills the window."""
    wide = (-1,) + (1,) * (window.ndim - 1)
    pushed = np.where(first.reshape(wide), new, np.concatenate([window[:, 1:], new], axis=1))
    return np.where(active.reshape(wide), pushed, window).astype(window.dtype, copy=False)

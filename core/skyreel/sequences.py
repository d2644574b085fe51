"""From movies to the network's input: alert window, preprocessing (eq. 4), stacks of n_w images and time gaps.

One function, `build_sequences`, does it for whole movies; `advance` does the same one image at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError, DataError
from skyreel.exposures import Exposures
from skyreel.interfaces import PixelBits
from skyreel.movies import Movies, Truth
from skyreel.photometry import psf_flux

SCALINGS = ("zero_point", "running_max")
CONDITIONS = {"seeing": (1.4, 0.5), "psf_fwhm": (4.4, 1.6), "sky": (2.2, 0.4), "airmass": (1.4, 0.4)}
"""Offset and unit of the conditions, (value - offset) / unit: seeing [arcsec], psf_fwhm [px], log10 of sky [ADU / px],
airmass. Fixed numbers near the mean and twice the scatter (sky: once) of HiTS exposures with seeing below 2 arcsec."""

UNUSABLE = PixelBits.BAD | PixelBits.NO_DATA | PixelBits.COSMIC_RAY
"""Pixels set to 0 and left out of photometry. Saturated ones stay: they still say that the source is bright."""


@dataclass(frozen=True)
class SequenceOptions:
    """How a movie becomes a sequence (config group `sequence`).

    Attributes
    ----------
    n_stacked : int
        Images stacked in one input tensor, n_w (the paper: 3).
    max_images : int
        Dates used at most, N_d (the paper: 22); S = max_images - n_stacked + 1 steps.
    before_alert : int
        Images kept before the first alert (the paper: 5).
    scaling : 'zero_point' or 'running_max'
        'zero_point' is eq. 4 of the paper, divided by the constant `flux_unit`. 'running_max' also divides each
        object by the running (causal) maximum of its PSF-weighted flux and compresses with asinh.
    flux_unit : float, ADU
        Counts that become 1 with 'zero_point'; 1 is the paper's text.
    flux_floor : float, ADU
        Smallest running maximum.
    softening : float
        With 'running_max': asinh(1000 x / softening) / 3.
    conditions : tuple of str
        Reported conditions fed to the recurrent layer beside the time gaps: any of 'seeing', 'psf_fwhm', 'sky',
        'airmass', 'band'. The paper: none.
    """

    n_stacked: int = 3
    max_images: int = 22
    before_alert: int = 5
    scaling: str = "zero_point"
    flux_unit: float = field(default=1.0, metadata={"unit": "adu"})
    flux_floor: float = field(default=100.0, metadata={"unit": "adu"})
    softening: float = 20.0
    conditions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        known = (*CONDITIONS, "band")
        if self.scaling not in SCALINGS:
            raise ConfigError("sequence.scaling", repr(self.scaling), f"use one of {', '.join(SCALINGS)}")
        for name in self.conditions:
            if name not in known:
                raise ConfigError("sequence.conditions", repr(name), f"use any of {', '.join(known)}")
        if len(set(self.conditions)) != len(self.conditions):
            raise ConfigError("sequence.conditions", f"{list(self.conditions)}", "name each condition once")
        if not 1 <= self.n_stacked <= self.max_images:
            raise ConfigError("sequence.n_stacked", str(self.n_stacked), f"it must lie in 1..max_images ({self.max_images})")
        if not 0 <= self.before_alert < self.max_images:
            raise ConfigError("sequence.before_alert", str(self.before_alert), f"it must lie in 0..max_images - 1 ({self.max_images - 1})")
        for name in ("flux_unit", "flux_floor", "softening"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"sequence.{name}", str(getattr(self, name)), "it must be positive")


@dataclass(frozen=True)
class Sequences:
    """Network input: n objects, S steps, n_w stacked images each. Padding steps are 0 with `mask` False.

    Attributes
    ----------
    stacks : float32 (n, S, n_w, C, H, W)
        Preprocessed images, the newest last.
    dt : float32 (n, S, n_w)
        Time of each stacked image since the sequence's first image [d].
    conditions : float32 (n, S, n_w, K)
        Reported conditions, normalised by `CONDITIONS`; K may be 0.
    mask : bool (n, S)
        True where the step exists.
    complete : bool (n, S)
        True where the stack holds n_w different images.
    frame : int (n, S)
        Index of the movie frame that completes the step; -1 for padding.
    """

    stacks: NDArray[np.float32]
    dt: NDArray[np.float32]
    conditions: NDArray[np.float32]
    mask: NDArray[np.bool_]
    complete: NDArray[np.bool_]
    frame: NDArray[np.intp]

    @property
    def n(self) -> int:
        """Number of objects."""
        return int(self.mask.shape[0])


def n_conditions(options: SequenceOptions, bands: tuple[str, ...]) -> int:
    """Length K of the condition vector: 'band' is one-hot over `bands`, the others are one number each."""
    return sum(len(bands) if name == "band" else 1 for name in options.conditions)


def alert_window(movies: Movies, options: SequenceOptions) -> Movies:
    """The frames of section 3.1 of the paper: from `before_alert` images before the first alert, `max_images` at most.

    Unusable frames (`frame_mask` False) are dropped first. Where the frame of the alert is one of them, the next usable
    frame takes its place. Objects without an alert (or without a usable frame from it on) start at their first usable
    frame and have `first_detection` -1.

    Parameters
    ----------
    movies : Movies
    options : SequenceOptions

    Returns
    -------
    Movies
        With at most `max_images` frames, padded at the end; `truth` is cut in the same way.
    """
    usable = movies.frame_mask & movies.reported.mask
    order, valid = _time_order(usable)
    count = usable.sum(axis=1)
    earlier = np.arange(usable.shape[1]) < movies.first_detection[:, None]
    alert = np.where(movies.first_detection < 0, count, (usable & earlier).sum(axis=1))
    alerted = alert < count
    start = np.where(alerted, np.maximum(alert - options.before_alert, 0), 0)
    width = int(np.clip((count - start).max(initial=1), 1, options.max_images))
    place = start[:, None] + np.arange(width)
    inside = place < count[:, None]
    place = np.minimum(place, order.shape[1] - 1)
    inside &= np.take_along_axis(valid, place, axis=1)
    first = np.where(alerted, alert - start, -1).astype(np.int32)
    return replace(_select(movies, np.take_along_axis(order, place, axis=1), inside), first_detection=first)


def build_sequences(movies: Movies, options: SequenceOptions, *, incomplete: bool = False) -> Sequences:
    """Network input from every usable frame, in time order (cut windows with `alert_window` before).

    Parameters
    ----------
    movies : Movies
        Every channel holds raw ADU with the reported sky.
    options : SequenceOptions
    incomplete : bool
        False: S = most usable frames - n_w + 1, all stacks complete. True: S = most usable frames; the first n_w - 1
        steps repeat the first image to fill the stack and have `complete` False.

    Returns
    -------
    Sequences

    Raises
    ------
    DataError
        For an object without a usable frame, unsorted or duplicate MJD, values that are not finite in usable frames and
        pixels, or (unless `incomplete`) when no object has n_w usable frames.
    BandError
        For a band index outside the movies' bands.
    """
    movies = replace(movies, frame_mask=movies.frame_mask & movies.reported.mask, truth=None)
    movies.check("sequences")
    order, valid = _time_order(movies.frame_mask)
    usable = _select(movies, order, valid)
    exposures, length = usable.reported, valid.sum(axis=1)
    if not incomplete and order.shape[1] < options.n_stacked:
        raise DataError(
            "sequences", f"at most {order.shape[1]} usable images", f"a stack needs {options.n_stacked}; set incomplete=True to fill it"
        )
    bad = ((usable.pixel_mask & UNUSABLE) != 0) | ~valid[:, :, None, None, None]
    factor = _calibration(exposures, exposures.zero_point[:, 0], exposures.exptime[:, 0])
    images = _calibrated(usable.pixels, bad, exposures, factor)
    flux = _calibrated_flux(usable.pixels, bad, exposures, factor) if options.scaling == "running_max" else np.zeros(valid.shape)
    scale = np.maximum.accumulate(np.maximum(flux, options.flux_floor), axis=1)
    days = np.where(valid, exposures.mjd - exposures.mjd[:, :1], 0.0).astype(np.float32)

    last = np.arange(0 if incomplete else options.n_stacked - 1, order.shape[1])
    index = np.maximum(last[:, None] + np.arange(1 - options.n_stacked, 1), 0)
    mask = last < length[:, None]
    return Sequences(
        stacks=_scaled(images[:, index], scale[:, last], mask, options),
        dt=np.where(mask[..., None], days[:, index], np.float32(0)),
        conditions=np.where(mask[..., None, None], _conditions(exposures, options)[:, index], np.float32(0)),
        mask=mask,
        complete=mask & (last >= options.n_stacked - 1),
        frame=np.where(mask, order[:, last], -1),
    )


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
    factor = _calibration(exposure, zp_ref, exptime_ref)
    running_max = state.running_max
    if options.scaling == "running_max":
        running_max = np.maximum(running_max, _calibrated_flux(images, bad, exposure, factor)[:, 0])
    new = SequenceState(
        frames=_push(state.frames, _calibrated(images, bad, exposure, factor), active, first),
        mjd=_push(state.mjd, exposure.mjd, active, first),
        conditions=_push(state.conditions, _conditions(exposure, options), active, first),
        count=state.count + active,
        first_mjd=np.where(first, exposure.mjd[:, 0], state.first_mjd),
        zp_ref=zp_ref,
        exptime_ref=exptime_ref,
        running_max=running_max,
    )
    mask = exposure.mask
    days = (new.mjd - new.first_mjd[:, None]).astype(np.float32)
    step = Sequences(
        stacks=_scaled(new.frames[:, None].copy(), running_max[:, None], mask, options),
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


def _time_order(usable: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Indices (n, U) of the usable frames moved to the front, and which of them exist."""
    order = np.argsort(~usable, axis=1, kind="stable")[:, : max(int(usable.sum(axis=1).max(initial=0)), 1)]
    return order, np.take_along_axis(usable, order, axis=1)


def _select(movies: Movies, index: NDArray[np.intp], valid: NDArray[np.bool_]) -> Movies:
    """The frames named by `index` (n, T'); where `valid` is False they are empty and masked."""
    rows = np.arange(len(movies))[:, None]
    fill = ~valid[:, :, None, None, None]
    pixels, bits = movies.pixels[rows, index], movies.pixel_mask[rows, index]
    np.copyto(pixels, 0, where=fill)
    np.copyto(bits, 0, where=fill)
    truth = movies.truth
    if truth is not None:
        truth = Truth(
            truth.exposures.gather(index, valid),
            np.where(valid, truth.flux[rows, index], np.float32(0)),
            np.where(valid[..., None], truth.centre[rows, index], np.float32(0)),
            truth.host,
            truth.params,
        )
    reported = movies.reported.gather(index, valid)
    return replace(movies, pixels=pixels, pixel_mask=bits, frame_mask=valid, reported=reported, truth=truth)


def _calibration(exposures: Exposures, zp_ref: NDArray[Any], exptime_ref: NDArray[Any]) -> NDArray[np.float64]:
    """Factor (n, T) of eq. 4 that brings counts to the zero point and exposure time of the first image; 0 for padding."""
    ratio = np.asarray(exptime_ref, np.float64)[:, None] / np.where(exposures.mask, exposures.exptime, 1)
    step = np.where(exposures.mask, np.asarray(zp_ref, np.float64)[:, None] - exposures.zero_point, 0.0)
    return np.where(exposures.mask, 10.0 ** (step / 2.5) * ratio, 0.0)


def _calibrated(pixels: NDArray[Any], bad: NDArray[np.bool_], exposures: Exposures, factor: NDArray[np.float64]) -> NDArray[np.float32]:
    images = pixels.astype(np.float32)
    wide = (..., None, None, None)
    images -= exposures.sky[wide]
    images *= factor.astype(np.float32)[wide]
    np.copyto(images, 0, where=bad)
    if not np.isfinite(images).all():
        raise DataError("sequences: pixels", "NaN or infinite values in usable pixels", "set those pixels in pixel_mask (bad or no data)")
    return images


def _calibrated_flux(
    pixels: NDArray[Any], bad: NDArray[np.bool_], exposures: Exposures, factor: NDArray[np.float64]
) -> NDArray[np.float64]:
    """PSF-weighted flux (n, T) of the first channel on the first image's scale; -infinity where there is none."""
    fwhm, gain = (np.where(exposures.mask, column, 1) for column in (exposures.psf_fwhm, exposures.gain))
    sky, read_noise = (np.where(exposures.mask, column, 0) for column in (exposures.sky, exposures.read_noise))
    flux, _ = psf_flux(pixels[:, :, 0], fwhm, sky, gain, read_noise, pixel_mask=bad[:, :, 0])
    return np.where(np.isfinite(flux), flux * factor, -np.inf)


def _scaled(
    stacks: NDArray[np.float32], scale: NDArray[np.float64], mask: NDArray[np.bool_], options: SequenceOptions
) -> NDArray[np.float32]:
    """Final scaling of (n, S, n_w, C, H, W), in place: by the constant unit, or by `scale` (n, S) and asinh."""
    unit = options.flux_unit if options.scaling == "zero_point" else scale * (options.softening / 1000.0)
    stacks *= np.where(mask, 1.0 / unit, 0.0).astype(np.float32)[..., None, None, None, None]
    if options.scaling == "running_max":
        np.arcsinh(stacks, out=stacks)
        stacks *= np.float32(1.0 / 3.0)
    return stacks


def _conditions(exposures: Exposures, options: SequenceOptions) -> NDArray[np.float32]:
    """Normalised conditions (n, T, K)."""
    columns = [np.zeros((*exposures.shape, 0), np.float32)]
    for name in options.conditions:
        if name == "band":
            columns.append((exposures.band[..., None] == np.arange(len(exposures.bands))).astype(np.float32))
            continue
        offset, unit = CONDITIONS[name]
        value = getattr(exposures, name)
        # a sky of less than one count carries no information on its noise
        value = np.log10(np.maximum(value, 1)) if name == "sky" else value
        columns.append(((value - np.float32(offset)) / np.float32(unit))[..., None].astype(np.float32))
    return np.concatenate(columns, axis=-1)

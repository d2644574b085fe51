"""A batch of movies in memory: pixels, masks, what was reported about each exposure and, if simulated, the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exposures import Exposures

UNLABELLED = ""


@dataclass(frozen=True)
class Truth:
    """What the simulation knows and a classifier must not see.

    Attributes
    ----------
    exposures : Exposures
        The true conditions, which rendered the image.
    flux : float32 (n, T)
        Noiseless counts of the source [ADU].
    centre : float32 (n, T, 2)
        Position (x, y) of the source relative to the central pixel's middle [px].
    host : bool (n,)
        Whether a galaxy was rendered.
    params : dict of str -> (n,) array
        Parameters of source ("period", ...) and host ("host_r50", ...); NaN where a class has no such parameter.
    """

    exposures: Exposures
    flux: NDArray[np.float32]
    centre: NDArray[np.float32]
    host: NDArray[np.bool_]
    params: dict[str, NDArray[Any]]

    def take(self, objects: Any) -> Truth:
        """The chosen objects."""
        return Truth(
            self.exposures.take(objects),
            self.flux[objects],
            self.centre[objects],
            self.host[objects],
            {name: column[objects] for name, column in self.params.items()},
        )

    def pad(self, epochs: int) -> Truth:
        """The same with the epoch axis widened by zeros."""
        extra = epochs - self.flux.shape[1]
        if extra <= 0:
            return self
        return replace(
            self,
            exposures=self.exposures.pad(epochs),
            flux=np.pad(self.flux, ((0, 0), (0, extra))),
            centre=np.pad(self.centre, ((0, 0), (0, extra), (0, 0))),
        )


@dataclass(frozen=True)
class Movies:
    """n movies of up to T frames.

    Attributes
    ----------
    pixels : uint16 or float32 (n, T, C, H, W)
        Raw ADU, sky included.
    pixel_mask : uint8 (n, T, C, H, W)
        `interfaces.PixelBits`; 0 is a good pixel.
    frame_mask : bool (n, T)
        True where the frame can be used (it exists, is not blank, its conditions are known).
    reported : Exposures
        All that a classifier may know about the exposures.
    label : str (n,)
        Class name, '' if unknown.
    object_id : str (n,)
    first_detection : int32 (n,)
        Index of the first alert's frame, -1 for objects without one.
    truth : Truth or None
    """

    pixels: NDArray[Any]
    pixel_mask: NDArray[np.uint8]
    frame_mask: NDArray[np.bool_]
    reported: Exposures
    label: NDArray[np.str_]
    object_id: NDArray[np.str_]
    first_detection: NDArray[np.int32]
    truth: Truth | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 5:
            raise DataError("movies.pixels", f"shape {self.pixels.shape}", "it must be (objects, epochs, channels, height, width)")
        n, epochs = self.pixels.shape[:2]
        wanted = {"pixel_mask": self.pixels.shape, "frame_mask": (n, epochs), "label": (n,), "object_id": (n,), "first_detection": (n,)}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"movies.{name}", f"shape {getattr(self, name).shape}", f"pixels {self.pixels.shape} ask for {shape}")
        if self.reported.shape != (n, epochs):
            raise DataError("movies.reported", f"shape {self.reported.shape}", f"pixels {self.pixels.shape} ask for {(n, epochs)}")

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def stamp_size(self) -> int:
        """Side of the stamps [px]."""
        return int(self.pixels.shape[-1])

    def take(self, objects: Any) -> Movies:
        """The chosen objects (indices, slice or boolean mask)."""
        return Movies(
            self.pixels[objects],
            self.pixel_mask[objects],
            self.frame_mask[objects],
            self.reported.take(objects),
            self.label[objects],
            self.object_id[objects],
            self.first_detection[objects],
            self.truth.take(objects) if self.truth else None,
        )

    def pad(self, epochs: int) -> Movies:
        """The same movies with the epoch axis widened to `epochs` by masked, empty frames."""
        extra = epochs - self.pixels.shape[1]
        if extra <= 0:
            return self
        wide = ((0, 0), (0, extra), (0, 0), (0, 0), (0, 0))
        return replace(
            self,
            pixels=np.pad(self.pixels, wide),
            pixel_mask=np.pad(self.pixel_mask, wide),
            frame_mask=np.pad(self.frame_mask, wide[:2]),
            reported=self.reported.pad(epochs),
            truth=self.truth.pad(epochs) if self.truth else None,
        )

    @staticmethod
    def concatenate(parts: Sequence[Movies]) -> Movies:
        """Joins movies; shorter ones are padded with masked frames. Truth survives where all parts have it."""
        if not parts:
            raise DataError("joining movies", "none were given", "hand in at least one")
        if len({part.pixels.shape[2:] for part in parts}) != 1:
            raise DataError("joining movies", f"stamps of shapes {sorted({p.pixels.shape[2:] for p in parts})}", "all must agree")
        width = max(part.pixels.shape[1] for part in parts)
        wide = [part.pad(width) for part in parts]

        def join(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(part, name) for part in wide])

        truths = [part.truth for part in wide if part.truth is not None]
        return Movies(
            join("pixels"),
            join("pixel_mask"),
            join("frame_mask"),
            Exposures.concatenate([part.reported for part in wide]),
            join("label"),
            join("object_id"),
            join("first_detection"),
            _join_truth(truths) if len(truths) == len(wide) else None,
        )

    def check(self, who: str) -> None:
        """Raises DataError for empty sequences, unusable exposures and NaN in pixels of usable frames."""
        self.reported.replace(mask=self.reported.mask & self.frame_mask).check(who, self.object_id)
        if self.pixels.dtype.kind == "f":
            bad = ~np.isfinite(self.pixels) & (self.pixel_mask == 0) & self.frame_mask[:, :, None, None, None]
            if bad.any():
                row, epoch = (int(i[0]) for i in np.nonzero(bad.any(axis=(2, 3, 4))))
                raise DataError(
                    f"{who}: pixels",
                    f"NaN in object {str(self.object_id[row])!r}, frame {epoch}",
                    "set those pixels in pixel_mask or the frame in frame_mask",
                )


def lossless(pixels: NDArray[np.float32]) -> NDArray[np.float32] | NDArray[np.uint16]:
    """The same pixels as uint16 where that loses nothing (whole numbers of ADU from 0 to 65535)."""
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
        return pixels
    small = pixels.astype(np.uint16)
    return small if np.array_equal(small, pixels) else pixels


def _join_truth(truths: Sequence[Truth]) -> Truth:
    names = sorted({name for truth in truths for name in truth.params})

    def column(truth: Truth, name: str) -> NDArray[Any]:
        return truth.params.get(name, np.full(len(truth.host), np.nan))

    return Truth(
        Exposures.concatenate([truth.exposures for truth in truths]),
        np.concatenate([truth.flux for truth in truths]),
        np.concatenate([truth.centre for truth in truths]),
        np.concatenate([truth.host for truth in truths]),
        {name: np.concatenate([column(truth, name) for truth in truths]) for name in names},
    )

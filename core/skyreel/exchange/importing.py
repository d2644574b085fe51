"""From cutouts and a table to a folder of movies, in two passes over the images: measure, then write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError, DataError, OutputError
from skyreel.exchange.array_cutouts import ARRAYS, read_arrays, read_pixel_table
from skyreel.exchange.assemble import NUMBERED, Timeline, movies_of, numbered, timeline
from skyreel.exchange.fits_cutouts import FitsCutouts
from skyreel.exchange.quantities import QUANTITIES, SETTABLE
from skyreel.exchange.scanning import scan_cutouts
from skyreel.exchange.settle import Scan, Settling, notes
from skyreel.exchange.stamps import Cutouts, Stamps, stamp_shape, to_stamps
from skyreel.exchange.tables import known_columns, read_table
from skyreel.exchange.values import Values, fill_from_headers, fill_from_table
from skyreel.interfaces import Camera, PixelBits, class_order
from skyreel.movie_files import write_manifest, write_shard
from skyreel.movies import Movies
from skyreel.photometry import MOFFAT_BETA, psf_flux
from skyreel.photometry.widths import profile_width

FRAMES = 2048
"""Frames in memory at once."""
BATCHES = 16
"""Batches of objects in one shard."""


@dataclass(frozen=True)
class ImportOptions:
    """How cutouts become movies.

    Attributes
    ----------
    names : mapping of str -> str
        Column or FITS keyword -> quantity, where a name is none of the known spellings.
    constants : mapping of str -> str
        Quantity -> value for cutouts for which neither table nor header has one.
    camera : Camera or None
        Gain, read noise, saturation and pixel scale of a survey, after the constants; its bands are the only ones allowed.
    bands : tuple of str
        Bands in the order that the movies index; empty: the camera's, else those that occur, sorted.
    reference_mag : str or None
        Column with the known magnitudes of constant stars (empty for all other objects), for zero points.
    stamp_size : int or None, px
        Side that cutouts are cropped and padded to; None: all must have the same.
    add_sky : bool
        Whether the sky was subtracted from the images and is to be added again.
    zero_point_per_image : bool
        Whether zero points are magnitudes of 1 ADU in the whole exposure; default: of 1 ADU / s.

    Raises
    ------
    ConfigError
        For an unknown quantity or a stamp size out of range.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    camera: Camera | None = None
    bands: tuple[str, ...] = ()
    reference_mag: str | None = None
    stamp_size: int | None = None
    add_sky: bool = False
    zero_point_per_image: bool = False

    def __post_init__(self) -> None:
        from skyreel.registry import nearest

        for option, names, known in (("--map", self.names.values(), tuple(QUANTITIES)), ("--set", self.constants, SETTABLE)):
            for name in names:
                if name not in known:
                    raise ConfigError(f"{option}: no quantity {name!r}", "", f"known are {', '.join(known)}{nearest(name, known)}")
        if self.camera is not None and self.bands and set(self.bands) - set(self.camera.bands):
            raise ConfigError("--bands", ", ".join(self.bands), f"the survey has {', '.join(self.camera.bands)}")


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes
    ----------
    movies, frames : int
    summary : dict
        JSON-ready, as in the ``import`` part of movies.json: ``source``, ``quantities`` (see `settle.notes`), ``masked_frames``
        (reason -> number), ``cut_frames`` (images that end inside the stamp or lack pixels), ``notes``.
    """

    movies: int
    frames: int
    summary: dict[str, Any]


def open_cutouts(table: Path, folder: Path | None, names: Mapping[str, str]) -> Cutouts:
    """The cutouts behind a table, an archive of arrays or a Parquet table with pixels.

    Raises
    ------
    DataError
        For files that are missing, damaged or do not match.
    """
    if table.suffix.lower() in ARRAYS:
        return read_arrays(table)
    if table.suffix.lower() in (".parquet", ".pq") and folder is None:
        found = read_pixel_table(table)
        if found is not None:
            return found
    rows = read_table(table)
    return FitsCutouts(rows, known_columns(rows.columns, names)[0], folder or table.parent)


class Importer:
    """Reads cutouts once to measure them and once to write them.

    Parameters
    ----------
    table : Path
        CSV, ECSV or Parquet table with a row per cutout; or .npz, HDF5 or Parquet that hold the images themselves.
    cutouts : Path or None
        Folder of the FITS files; None: the table's.
    options : ImportOptions

    Raises
    ------
    DataError
        For input that does not match or cannot be read.
    """

    def __init__(self, table: Path, cutouts: Path | None = None, options: ImportOptions | None = None) -> None:
        self.options = options or ImportOptions()
        self.source = open_cutouts(table, cutouts, self.options.names)
        rows = self.source.table
        self.columns, self._keywords = known_columns(rows.columns, self.options.names)
        if "object_id" not in self.columns:
            raise DataError(rows.name, f"columns {', '.join(rows.columns)}", "name the objects in a column `object_id`")
        self.reference = self._reference()
        self.values = Values(len(rows))
        fill_from_table(self.values, rows, self.columns)
        first = self.source.read(np.array([0]))
        self.shape = stamp_shape(first.pixels[0], self.options.stamp_size, self.source.where(0))

    def __len__(self) -> int:
        """Number of cutouts."""
        return self.values.n

    def run(self, output: Path, tick: Callable[[int], None] | None = None) -> Imported:
        """Writes the movies; `tick` is called with the number of cutouts read since the last call, twice for each.

        Raises
        ------
        DataError
            For cutouts that cannot be used and conditions that are missing and cannot be estimated.
        OutputError
            If the folder holds movies already or cannot be written to.
        """
        if output.exists() and (not output.is_dir() or any(output.glob("*.arrow"))):
            raise OutputError(f"output {output}", "it already holds movies or is a file", "name a new folder or remove it")
        tick = tick or (lambda n: None)
        scan = self._scan(tick)
        settled = Settling(
            self.values,
            scan,
            self.source.where,
            self.options.bands or (self.options.camera.bands if self.options.camera else self.source.table.bands),
            self.options.camera,
            lambda rows, conditions: self._fluxes(rows, conditions, scan),
            self.reference,
            self.options.zero_point_per_image,
        )
        complete = settled.run()
        order = timeline(self.values, complete, self.source.where)
        frames = self._frame_mask(complete, scan)
        summary = self._summary(settled, scan, complete, frames)
        count = self._write(output, order, settled, complete, frames, scan.whole, summary, tick)
        return Imported(count, len(self), summary)

    def _reference(self) -> NDArray[np.float64] | None:
        name, rows = self.options.reference_mag, self.source.table
        if name is None:
            return None
        if name not in rows.columns:
            raise ConfigError("--reference-mag", f"no column {name!r}", f"{rows.name} has {', '.join(rows.columns)}")
        return rows.number(name, "mag")

    def stamps(self, rows: NDArray[np.intp]) -> tuple[Stamps, list[Any]]:
        """Stamps of some rows, and their FITS headers."""
        images = self.source.read(rows)
        centre = np.stack([self.values["centre_x"][rows], self.values["centre_y"][rows]], axis=1)
        names = [self.source.where(int(row)) for row in rows]
        return to_stamps(images, self.shape, centre, names, self.options.stamp_size is None), images.headers

    def _pixels(self, stamps: Stamps, sky: NDArray[np.float64]) -> NDArray[np.float32]:
        """ADU with sky."""
        if not self.options.add_sky:
            return stamps.pixels
        empty = stamps.bits & PixelBits.NO_DATA > 0
        return np.where(empty, stamps.pixels, stamps.pixels + sky[:, None, None, None].astype(np.float32))

    def _scan(self, tick: Callable[[int], None]) -> Scan:
        values = self.values

        def read(rows: NDArray[np.intp]) -> Stamps:
            stamps, headers = self.stamps(rows)
            if any(headers):
                fill_from_headers(values, rows, headers, self._keywords)
            for name, value in self.options.constants.items():
                values.fill(name, _constant(name, value), "set", rows)
            if self.options.add_sky and not values.known("sky")[rows].all():
                row = int(rows[np.argmin(values.known("sky")[rows])])
                raise DataError("import: sky", f"not known for {self.source.where(row)}", "--add-sky asks for the sky of every cutout")
            return Stamps(self._pixels(stamps, values["sky"][rows]), stamps.bits, stamps.cut)

        return scan_cutouts(read, values, FRAMES, stars=self.reference is not None, tick=tick)

    def _fluxes(self, rows: NDArray[np.intp], conditions: Mapping[str, NDArray[Any]], scan: Scan) -> NDArray[np.float64]:
        """Counts [ADU] of the star in the middle of each of `rows`, at its own centre; NaN where none was fitted."""
        flux = np.full(len(rows), np.nan)
        for start in range(0, len(rows), FRAMES):
            part = slice(start, start + FRAMES)
            chosen = rows[part]
            stamps, _ = self.stamps(chosen)
            pixels = self._pixels(stamps, self.values["sky"][chosen])[:, 0]
            saturated = pixels >= self.values["saturation"][chosen][:, None, None]
            width = profile_width(conditions["psf_fwhm"][part], "moffat", MOFFAT_BETA)
            gain, read_noise = (conditions[name][part] for name in ("gain", "read_noise"))
            sky = np.where(np.isfinite(scan.border_sky[chosen]), scan.border_sky[chosen], conditions["sky"][part])
            centre = scan.centre[chosen]
            found, _ = psf_flux(pixels, width, sky, gain, read_noise, np.nan_to_num(centre), (stamps.bits[:, 0] > 0) | saturated)
            flux[part] = np.where(np.isfinite(centre[:, 0]) & ~saturated.any(axis=(1, 2)), found, np.nan)
        return flux

    def _frame_mask(self, complete: NDArray[np.bool_], scan: Scan) -> NDArray[np.bool_]:
        stated = self.values["usable"]
        return np.asarray(np.where(np.isnan(stated), ~scan.blank, stated > 0) & complete)

    def _summary(self, settled: Settling, scan: Scan, complete: NDArray[np.bool_], frames: NDArray[np.bool_]) -> dict[str, Any]:
        masked = {"no usable pixel, or all pixels equal": int((scan.blank & ~frames).sum()), **settled.masked}
        used = {*self.columns.values(), self.options.reference_mag}
        ignored = [name for name in self.source.table.columns if name not in used and name not in ("pixels", "pixel_mask")]
        told = [*self.source.notes, *self._warnings(settled, scan, frames)]
        if ignored:
            told.append(f"columns left out: {', '.join(ignored)}")
        return {
            "source": Path(self.source.table.name).name,
            "cutouts": len(self),
            "quantities": notes(settled, complete),
            "masked_frames": {reason: number for reason, number in masked.items() if number},
            "cut_frames": int(scan.cut.sum()),
            "notes": told,
        }

    def _warnings(self, settled: Settling, scan: Scan, frames: NDArray[np.bool_]) -> list[str]:
        told = []
        if scan.cut.any():
            first = self.source.where(int(np.flatnonzero(scan.cut)[0]))
            told.append(f"{int(scan.cut.sum())} cutouts end inside the stamp or lack pixels (flagged as no data), first {first}")
        given = settled.values.origins("sky", frames)
        seen = frames & np.isfinite(scan.border_sky)
        if set(given) & {"table", "header", "set"} and seen.any():
            sky, border = (float(np.median(column[seen])) for column in (settled.values["sky"], scan.border_sky))
            if abs(border - sky) > max(5.0, 0.3 * abs(sky)):
                hint = "was it subtracted? then use --add-sky" if border < sky else "is it in ADU / px?"
                told.append(f"the stated sky is {sky:.4g} adu / pix in the median, the border of the cutouts {border:.4g}: {hint}")
        return told

    def _write(
        self,
        output: Path,
        order: Timeline,
        settled: Settling,
        complete: NDArray[np.bool_],
        frames: NDArray[np.bool_],
        whole: bool,
        summary: dict[str, Any],
        tick: Callable[[int], None],
    ) -> int:
        saturated_known = set(settled.values.origins("saturation", complete)) <= {"table", "header", "set", "survey"}
        numbers = {name: numbered(settled, name) for name in NUMBERED}

        def batches(group: list[slice]) -> Iterator[Movies]:
            for objects in group:
                rows = order.rows[order.start[objects.start] : order.start[objects.stop]]
                stamps, _ = self.stamps(rows)
                pixels, bits = self._pixels(stamps, self.values["sky"][rows]), stamps.bits
                if saturated_known and not self.source.masked:
                    full = pixels >= self.values["saturation"][rows].astype(np.float32)[:, None, None, None]
                    bits = np.where(full & (bits == 0), np.uint8(PixelBits.SATURATED), bits)
                kept = pixels.astype(np.uint16) if whole else pixels
                yield movies_of(order, objects, kept, bits, settled, numbers, complete, frames)
                tick(len(rows))

        groups = order.batches(FRAMES)
        shards = [groups[k : k + BATCHES] for k in range(0, len(groups), BATCHES)]
        new = not output.exists()
        names = [output / f"movies-{k:05d}.arrow" for k in range(len(shards))]
        try:
            count = sum(write_shard(name, batches(group), {"import": summary}) for name, group in zip(names, shards, strict=True))
            classes = class_order([name for name in np.unique(order.label).tolist() if name])
            write_manifest(output, {"classes": list(classes), "movies": count, "import": summary})
        except BaseException:
            for name in names:  # a set that is not whole would be read as a smaller one
                name.unlink(missing_ok=True)
            if new:
                with suppress(OSError):
                    output.rmdir()
            raise
        return count


def _constant(name: str, value: str) -> Any:
    if QUANTITIES[name].text:
        return value
    try:
        return float(value)
    except ValueError as err:
        raise ConfigError(f"--set {name}", repr(value), "give a number") from err

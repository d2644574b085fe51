"""Cutouts in FITS files, one image per row of a table."""

from __future__ import annotations

import warnings
import zlib
from collections import ChainMap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exchange.stamps import Images
from skyreel.exchange.tables import FrameTable

SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz", ".fz")
_BROKEN = (OSError, ValueError, TypeError, EOFError, KeyError, IndexError, AttributeError, zlib.error)
"""What astropy raises for files that are no FITS or cut short."""


class FitsCutouts:
    """Files of a folder that the rows of a table name (see `stamps.Cutouts`).

    Parameters
    ----------
    table : FrameTable
    columns : dict of str -> str
        Quantity -> column; needs ``file``, may have ``hdu`` and ``mask_hdu``.
    folder : Path
        That file names are relative to.

    Raises
    ------
    DataError
        If there is no folder or no column of files, a file is missing, or two rows name the same image.
    """

    def __init__(self, table: FrameTable, columns: dict[str, str], folder: Path) -> None:
        self.table, self._folder = table, folder
        if "file" not in columns:
            raise DataError(table.name, f"columns {', '.join(table.columns)}", "name the files in a column `file` (or --map COLUMN=file)")
        if not folder.is_dir():
            raise DataError(f"cutouts {folder}", "there is no such folder", "name the folder with --cutouts")
        self._file = table.text(columns["file"])
        self._hdu, self._mask_hdu = (
            table.text(columns[name]) if name in columns else np.full(len(table), "") for name in ("hdu", "mask_hdu")
        )
        self.masked = "mask_hdu" in columns
        self.notes = self._checked()

    def _checked(self) -> list[str]:
        seen: dict[tuple[str, str], int] = {}
        there: dict[str, bool] = {}
        for row, (file, hdu) in enumerate(zip(self._file.tolist(), self._hdu.tolist(), strict=True)):
            if not file:
                raise DataError(self.table.name, f"no file in row {row + 1}", "name the file or drop the row")
            if file not in there:
                there[file] = (self._folder / file).is_file()
            if not there[file]:
                raise DataError(self.table.name, f"{self.where(row)} is not in {self._folder}", "add the file or drop the row")
            before = seen.setdefault((file, hdu), row)
            if before != row:
                found = f"rows {before + 1} and {row + 1} name the same image, {file}" + (f"[{hdu}]" if hdu else "")
                raise DataError(self.table.name, found, "drop one of them")
        known = {(self._folder / file).resolve() for file in there}
        extra = sorted(str(path.relative_to(self._folder)) for path in self._folder.rglob("*") if self._is_extra(path, known))
        if not extra:
            return []
        listed = ", ".join(extra[:3]) + (", ..." if len(extra) > 3 else "")
        return [f"{len(extra)} FITS files of {self._folder} that no row names were left out: {listed}"]

    @staticmethod
    def _is_extra(path: Path, known: set[Path]) -> bool:
        return path.name.lower().endswith(SUFFIXES) and path.is_file() and path.resolve() not in known

    def where(self, row: int) -> str:
        """A row's name for messages."""
        return f"{self._file[row]} (row {row + 1})"

    def read(self, rows: NDArray[np.intp]) -> Images:
        """The images of these rows.

        Raises
        ------
        DataError
            For files that are no FITS or cut short, and HDUs that hold no image.
        """
        images = Images([], [], [])
        start = 0
        files = self._file[rows]
        while start < len(rows):
            stop = start + 1
            while stop < len(rows) and files[stop] == files[start]:  # images of one file are read with one opening
                stop += 1
            self._read_file(rows[start:stop], images)
            start = stop
        return images

    def _read_file(self, rows: NDArray[np.intp], images: Images) -> None:
        from astropy.io import fits

        row = int(rows[0])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a damaged file is an error below, a file that breaks a convention is none
                with fits.open(self._folder / str(self._file[row]), memmap=False) as hdus:
                    for row in rows.tolist():
                        hdu = self._image(hdus, str(self._hdu[row]), row)
                        images.pixels.append(_cube(hdu.data))
                        images.headers.append(ChainMap(hdu.header, hdus[0].header))
                        mask = str(self._mask_hdu[row])
                        flagged = self.masked and mask not in ("", "-1")
                        images.masks.append(_cube(self._image(hdus, mask, row).data).astype(np.uint8) if flagged else None)
        except DataError:
            raise
        except _BROKEN as err:
            raise DataError(f"cutout {self.where(row)}", f"not a whole FITS image ({err})", "write the file again or drop the row") from err

    def _image(self, hdus: Any, wanted: str, row: int) -> Any:
        if wanted:
            key: int | str = int(wanted) if wanted.lstrip("-").isdigit() else wanted
            try:
                hdu = hdus[key]
            except (KeyError, IndexError) as err:
                raise DataError(f"cutout {self.where(row)}", f"no HDU {wanted}", f"the file has {len(hdus)}; correct the table") from err
            if not _is_image(hdu):
                raise DataError(f"cutout {self.where(row)}", f"HDU {wanted} is no image", "name an image HDU in column `hdu`")
            return hdu
        for hdu in hdus:
            if _is_image(hdu):
                return hdu
        raise DataError(f"cutout {self.where(row)}", "no HDU is an image", "drop the row or name another file")


def _is_image(hdu: Any) -> bool:
    return bool(hdu.is_image and len(hdu.shape) >= 2 and sum(side > 1 for side in hdu.shape) >= 2)


def _cube(data: NDArray[Any]) -> NDArray[Any]:
    """(C, H, W) of an image whose leading axes may be of length 1."""
    image = np.asarray(data)
    while image.ndim > 3 and image.shape[0] == 1:
        image = image[0]
    if image.ndim > 3:
        raise ValueError(f"{image.ndim} axes")
    return image if image.ndim == 3 else image[None]

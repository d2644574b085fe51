"""Conditions of N cutouts while they are being gathered: each value with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exchange.quantities import CONDITIONS, QUANTITIES, Quantity
from skyreel.exchange.tables import UNSAID, FrameTable

ORIGINS = ("missing", "table", "header", "set", "survey", "derived", "estimated", "assumed")
"""Where a value can come from, in the order in which they are asked."""


class Values:
    """Columns of N rows; a value that is there is never replaced.

    Parameters
    ----------
    n : int
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._columns: dict[str, NDArray[Any]] = {}
        self._origin: dict[str, NDArray[np.int8]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Numbers (NaN: not known) or words ('': not known)."""
        if name not in self._columns:
            text = name in QUANTITIES and QUANTITIES[name].text
            self._columns[name] = np.full(self.n, "", object) if text else np.full(self.n, np.nan)
            self._origin[name] = np.zeros(self.n, np.int8)
        return self._columns[name]

    def known(self, name: str) -> NDArray[np.bool_]:
        """True (N,) where there is a value."""
        column = self[name]
        return np.asarray(column != "") if column.dtype == object else ~np.isnan(column)

    def fill(self, name: str, values: Any, origin: str, rows: Any = slice(None)) -> None:
        """Puts values where none are yet, among `rows`."""
        column = self[name][rows]
        new = np.broadcast_to(np.asarray(values, column.dtype), column.shape)
        there = np.asarray(new != "") if column.dtype == object else ~np.isnan(new)
        take = there & ~self.known(name)[rows]
        self._columns[name][rows] = np.where(take, new, column)
        self._origin[name][rows] = np.where(take, ORIGINS.index(origin), self._origin[name][rows])

    def origins(self, name: str, among: NDArray[np.bool_]) -> dict[str, int]:
        """Origin -> number of the rows of `among` (N,)."""
        self[name]
        count = np.bincount(self._origin[name][among], minlength=len(ORIGINS))
        return {origin: int(k) for origin, k in zip(ORIGINS, count, strict=True) if k}


def fill_from_table(values: Values, table: FrameTable, columns: Mapping[str, str]) -> None:
    """Values of a table's columns; `columns` is quantity -> column."""
    for name, column in columns.items():
        item = QUANTITIES[name]
        values.fill(name, table.text(column).astype(object) if item.text else table.number(column, item.unit), "table")


def fill_from_headers(values: Values, rows: NDArray[np.intp], headers: Sequence[Any], given: Mapping[str, str]) -> None:
    """Values of FITS headers of the m `rows`; `given` is quantity -> keyword that counts before the known ones.

    Raises
    ------
    DataError
        For a word where a number belongs.
    """
    for item in CONDITIONS.values():
        missing = rows[~values.known(item.name)[rows]]
        if len(missing):
            chosen = dict(zip(rows.tolist(), headers, strict=True))
            found = [_from_header(chosen[row], item, given.get(item.name)) for row in missing.tolist()]
            values.fill(item.name, np.array(found, object if item.text else float), "header", missing)


def _from_header(header: Any, item: Quantity, given: str | None) -> str | float:
    for keyword in (given, *item.keywords) if given else item.keywords:
        value = header.get(keyword)
        if value is None or isinstance(value, bool) or str(value).strip().lower() in UNSAID or _is_undefined(value):
            continue
        if item.text:
            return str(value).strip()
        try:
            return float(value)
        except (TypeError, ValueError) as err:
            raise DataError(f"FITS keyword {keyword}", f"{value!r}", f"{item.name} is a number; --map another keyword or --set it") from err
    if item.name == "pixel_scale":
        return _scale_of(header)
    return "" if item.text else np.nan


def _is_undefined(value: Any) -> bool:
    return type(value).__name__ == "Undefined"  # a keyword without a value, in astropy


def _scale_of(header: Any) -> float:
    """Pixel scale [arcsec / px] from the CD matrix or CDELT (Greisen & Calabretta 2002, A&A 395, 1061); NaN without."""
    try:
        if header.get("CD1_1") is not None:
            return 3600.0 * float(np.hypot(float(header["CD1_1"]), float(header.get("CD2_1", 0.0))))
        if header.get("CDELT1") is not None and str(header.get("CTYPE1", "")).startswith("RA"):
            return 3600.0 * abs(float(header["CDELT1"]))
    except (TypeError, ValueError):
        return np.nan
    return np.nan

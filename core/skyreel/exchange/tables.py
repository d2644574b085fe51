"""Tables of cutouts as columns of words and numbers: CSV, ECSV and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exchange.quantities import QUANTITIES

UNSAID = ("", "nan", "none", "null", "n/a", "--")
"""Words, in lower case, for a value that is not known."""
_TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class FrameTable:
    """One row per cutout.

    Attributes
    ----------
    name : str
        Where it was read from, for messages.
    columns : dict of str -> (N,) array
        Numbers, or str objects; NaN and '' where nothing is known.
    units : dict of str -> str
        Units that the table states, by column.
    bands : tuple of str
        Bands in their order, where the table states them; else empty.
    """

    name: str
    columns: dict[str, NDArray[Any]]
    units: dict[str, str] = field(default_factory=dict)
    bands: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def text(self, column: str) -> NDArray[np.str_]:
        """A column as words; '' where nothing is said, whole numbers without a decimal point."""
        values = self.columns[column]
        if values.dtype.kind in "iub":
            return values.astype(str)
        if values.dtype.kind == "f":
            return np.array(["" if np.isnan(v) else str(int(v)) if v == np.floor(v) else str(v) for v in values.tolist()], dtype=str)
        words = [str(value).strip() for value in values.tolist()]
        return np.array(["" if word.lower() in UNSAID else word for word in words], dtype=str)

    def number(self, column: str, unit: str | None = None) -> NDArray[np.float64]:
        """A column as numbers in `unit`; NaN where nothing is said.

        Raises
        ------
        DataError
            For a word that is no number (naming its row), and for a unit that cannot be converted.
        """
        values = self.columns[column]
        numbers = values.astype(np.float64) if values.dtype.kind in "iubf" else self._parsed(column)
        stated = self.units.get(column)
        return numbers if unit is None or not stated else numbers * self._factor(column, stated, unit)

    def _parsed(self, column: str) -> NDArray[np.float64]:
        out = np.full(len(self), np.nan)
        for row, word in enumerate(self.text(column).tolist()):
            if not word:
                continue
            try:
                out[row] = _TRUTH[word.lower()] if word.lower() in _TRUTH else float(word)
            except ValueError as err:
                raise DataError(f"{self.name}: column {column!r}", f"{word!r} in row {row + 1}", "give a number or leave it empty") from err
        return out

    def _factor(self, column: str, stated: str, unit: str) -> float:
        from astropy import units

        try:
            return 1.0 if stated == unit else float(units.Unit(stated).to(units.Unit(unit)))
        except (units.UnitConversionError, ValueError) as err:
            raise DataError(f"{self.name}: column {column!r}", f"unit {stated!r}", f"give it in {unit!r}") from err


def known_columns(names: Iterable[str], given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Which column holds which quantity.

    Parameters
    ----------
    names : iterable of str
        The table's columns.
    given : mapping of str -> str
        Column or FITS keyword -> quantity, as the user maps them; such a column counts before all others.

    Returns
    -------
    columns : dict of str -> str
        Quantity -> column.
    keywords : dict of str -> str
        Quantity -> what the user maps to it that is no column: a FITS keyword.
    """
    names = list(names)
    folded = {name.lower(): name for name in reversed(names)}
    columns = {
        item.name: folded[word.lower()]
        for item in QUANTITIES.values()
        for word in reversed((item.name, *item.keywords))
        if word.lower() in folded
    }
    keywords = {quantity: source for source, quantity in given.items() if source not in names}
    return {**columns, **{quantity: source for source, quantity in given.items() if source in names}}, keywords


def read_table(path: Path) -> FrameTable:
    """A CSV, ECSV or Parquet file by the ending of its name.

    Raises
    ------
    DataError
        For another ending, a file that is missing, damaged or empty.
    """
    readers = {".csv": _read_csv, ".ecsv": _read_ecsv, ".parquet": _read_parquet, ".pq": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"table {path}", f"ending {path.suffix!r}", "use .csv, .ecsv, .parquet, .npz, .h5 or .hdf5")
    if not path.is_file():
        raise DataError(f"table {path}", "there is no such file", "check the path")
    import pyarrow as pa

    try:
        table = reader(path)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException, ValueError) as err:
        if isinstance(err, DataError):
            raise
        raise DataError(f"table {path}", f"not readable as {path.suffix[1:].upper()} ({err})", "write it again") from err
    if not len(table):
        raise DataError(f"table {path}", "no rows", "give one row per cutout")
    return table


def _read_csv(path: Path) -> FrameTable:
    # every value stays a word until its quantity is known: '007' is a name, not 7
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows:
        return FrameTable(str(path), {})
    head = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(head):
            raise DataError(f"table {path}", f"row {number} has {len(row)} values for {len(head)} columns", "write that row again")
    body = np.array(rows[1:], dtype=object).reshape(-1, len(head))
    return FrameTable(str(path), {name: body[:, k] for k, name in enumerate(head)})


def _read_ecsv(path: Path) -> FrameTable:
    from astropy.table import Table

    table = Table.read(path, format="ascii.ecsv")
    columns = {name: _unmasked(table[name]) for name in table.colnames}
    units = {name: str(table[name].unit) for name in table.colnames if table[name].unit is not None}
    return FrameTable(str(path), columns, units, tuple(table.meta.get("bands", ())))


def _unmasked(column: Any) -> NDArray[Any]:
    missing = np.ma.getmaskarray(np.ma.asarray(column))
    values = np.asarray(column)
    if values.dtype.kind in "iubf":
        return np.where(missing, np.nan, values.astype(np.float64)) if missing.any() else values
    return np.where(missing, "", values.astype(str)).astype(object)


def _read_parquet(path: Path) -> FrameTable:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    plain = [item for item in schema if not str(item.type).startswith(("list", "large_list", "fixed_size_list"))]
    table = file.read(columns=[item.name for item in plain])
    units = {item.name: item.metadata[b"unit"].decode() for item in plain if item.metadata and b"unit" in item.metadata}
    head = schema.metadata or {}
    return FrameTable(
        str(path),
        {item.name: _from_arrow(table[item.name]) for item in plain},
        units,
        tuple(json.loads(head.get(b"skyreel.bands", b"[]"))),
    )


def _from_arrow(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_floating(kind):
        return np.asarray(column.to_numpy(), np.float64 if column.null_count else None)
    if (pa.types.is_integer(kind) or pa.types.is_boolean(kind)) and not column.null_count:
        return np.asarray(column.to_numpy())
    return np.array(["" if value is None else str(value) for value in column.to_pylist()], dtype=object)

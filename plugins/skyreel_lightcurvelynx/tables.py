"""Tables of visits from files: SQLite, Parquet and CSV; nothing that could execute code."""

from __future__ import annotations

import sqlite3
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError, DataError
from skyreel_lightcurvelynx import library
from skyreel_lightcurvelynx.conditions import visits
from skyreel_lightcurvelynx.instruments import Instrument

SQLITE, PARQUET, CSV = (".db", ".sqlite", ".sqlite3"), (".parquet", ".pq"), (".csv", ".csv.gz", ".csv.bz2", ".csv.xz")


@dataclass(frozen=True)
class Visits:
    """A table of visits.

    Attributes
    ----------
    table : ObsTable
        For searches by position.
    columns : dict of str to (rows,) array
        See `conditions.visits`.
    usable : bool (rows,)
        Every column is finite and the exposure time positive.
    """

    table: Any
    columns: dict[str, NDArray[Any]]
    usable: NDArray[np.bool_]


def read(kind: str, file: str, query: str | None, packages: tuple[str, ...], instrument: Instrument) -> Visits:
    """A table of visits, read once per process and version of the file.

    Parameters
    ----------
    kind : str
        Key of `INSTRUMENTS`, or a dotted name.
    file : str
        .db (SQLite), .parquet or .csv, the last also compressed.
    query : str or None
        SQL for SQLite; None: all of its table ``observations``, or of its only one.
    packages : tuple of str
        From which a dotted name may come.
    instrument : Instrument

    Raises
    ------
    DataError
        If the file is missing or cannot be read, or the table lacks columns.
    ConfigError
        For an unknown ending, a query on another kind of file, or an ObsTable that cannot be imported.
    """
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise DataError(f"survey.file {file!r}", "no such file", "name a table of visits")
    return _read(kind, path, path.stat().st_mtime_ns, query, packages, instrument)


@lru_cache(maxsize=4)
def _read(kind: str, path: Path, changed: int, query: str | None, packages: tuple[str, ...], instrument: Instrument) -> Visits:
    loader: Any = library.named_class(instrument.target, packages)
    if instrument.loader is not None:
        loader = getattr(loader, instrument.loader)
    rows = frame(path, query)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows with NaN, which are left out here too
        try:
            table = loader(rows)
        except Exception as err:  # LightCurveLynx raises KeyError, ValueError and others
            why = f"{type(err).__name__}: {' '.join(str(err).split())}"
            raise DataError(f"survey.file {str(path)!r}", f"is no table of kind {kind} ({why})", "see the option table") from err
        columns = visits(kind, table, instrument)
    usable = np.all([np.isfinite(column) for column in columns.values() if column.dtype.kind == "f"], axis=0) & (columns["exptime"] > 0)
    if not usable.any():
        bad = [name for name, column in columns.items() if column.dtype.kind == "f" and not np.isfinite(column).any()]
        raise DataError(
            f"survey.file {str(path)!r}", f"none of its {len(usable)} rows is complete", f"look at {', '.join(bad) or 'its columns'}"
        )
    return Visits(table, columns, usable)


def frame(path: Path, query: str | None) -> Any:
    """The file as a pandas data frame; for the errors see `read`."""
    import pandas as pd

    name = path.name.lower()
    if query is not None and not name.endswith(SQLITE):
        raise ConfigError("survey.query", repr(query), f"only SQLite files ({', '.join(SQLITE)}) take a query")
    try:
        if name.endswith(SQLITE):
            with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as connection:
                return pd.read_sql_query(query or f'SELECT * FROM "{_table(path, connection)}"', connection)
        if name.endswith(PARQUET):
            return pd.read_parquet(path)
        if name.endswith(CSV):
            return pd.read_csv(path)
    except ConfigError:
        raise
    except Exception as err:  # sqlite3, pyarrow and pandas have errors of their own
        raise DataError(
            f"survey.file {str(path)!r}", f"{type(err).__name__}: {' '.join(str(err).split())}", "check file and query"
        ) from err
    raise ConfigError("survey.file", path.name, f"its ending must be one of {', '.join((*SQLITE, *PARQUET, *CSV))}")


def _table(path: Path, connection: sqlite3.Connection) -> str:
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    if "observations" in names:
        return "observations"
    if len(names) != 1:
        raise ConfigError(
            f"survey.file {str(path)!r}", f"has tables {', '.join(names) or 'none'}", "choose one: survey.query='SELECT * FROM ...'"
        )
    return str(names[0])

"""Public data sets by name: real objects as movies, with a tally of what was left out and why."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from skyreel import public_data
from skyreel.datasets.dataset import Dataset, locate
from skyreel.errors import DatasetError

__all__ = ["Dataset", "dataset_names", "load_dataset", "locate"]

_READERS = {"hits2015a": "skyreel.datasets.hits2015a", "hits2015a_raw": "skyreel.datasets.hits2015a_raw"}
"""Name -> module with `read(folder, **options) -> Dataset`, imported on first use."""

_DOWNLOADED = {"hits2015a_raw": "hits2015a"}
"""Name -> public input (`skyreel data get`) that has its files."""


def dataset_names() -> tuple[str, ...]:
    """Names that `load_dataset` knows."""
    return tuple(sorted(_READERS))


def load_dataset(name: str, path: str | Path | None = None, **options: Any) -> Dataset:
    """Reads a named data set.

    Parameters
    ----------
    name : str
        One of `dataset_names()`.
    path : str, Path or None
        Its folder; None looks in the places that `locate` lists, then among the downloaded public inputs.
    **options
        Options of that data set, see for example `skyreel.datasets.hits2015a.HitsOptions`.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        For an unknown name, a missing folder, a missing or damaged file, or if no object is usable.
    ConfigError
        For an unknown option or a value of the wrong type or range.
    """
    if name not in _READERS:
        near = difflib.get_close_matches(name, _READERS, 1)
        raise DatasetError(
            f"data set {name!r}",
            f"known are {', '.join(dataset_names())}",
            f"did you mean {near[0]!r}?" if near else "choose one of them",
        )
    import importlib

    reader = importlib.import_module(_READERS[name])
    return reader.read(_folder(name, path), **options)  # type: ignore[no-any-return]


def _folder(name: str, path: str | Path | None) -> Path:
    """As `locate`, or the folder of the public input."""
    try:
        return locate(name, path)
    except DatasetError as err:
        if path is not None or name not in _DOWNLOADED:
            raise
        needed = _DOWNLOADED[name]
        if public_data.inspect(needed).state == "absent":
            raise DatasetError(err.asked, err.found, f"{err.remedy}; or run skyreel data get {needed}") from err
        return public_data.folder(needed)

"""What the figures of single objects need of a run, in one small file: stamps, light curves, twins, features, cost."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.features import PAPER_SIX
from skyreel.files import write_bytes

EXHIBITS = "exhibits.npz"
"""File of a run's folder that holds them."""
FEATURES = PAPER_SIX
"""The six features of figure 14 of the paper, under the names of `skyreel.features`."""


@dataclass(frozen=True)
class Shown:
    """m objects shown one by one, with up to T images each.

    Attributes
    ----------
    why : str (m,)
        'supernova' (examples at the quartiles of the final probability of their class), 'failure' (most confidently
        wrong first) or 'typical' (median final probability of its own class; one for each class but supernovae).
    object_id, label : str (m,)
    alert : int (m,)
        Images up to and including the alert (`label_blind`: the trigger); 0 without one.
    mjd : float64 (m, T), d
        Middle of the exposure; NaN beyond the last image.
    stamps : float32 (m, T, H, W), ADU
        Less the reported sky; NaN for bad pixels and beyond the last image.
    flux, error : float32 (m, T), counts / s at zero point 25
        PSF photometry (`skyreel.light_curves.measure`); NaN where there is none.
    probabilities : float32 (m, T, C)
        After each image; NaN beyond the last.
    """

    why: NDArray[np.str_]
    object_id: NDArray[np.str_]
    label: NDArray[np.str_]
    alert: NDArray[np.int32]
    mjd: NDArray[np.float64]
    stamps: NDArray[np.float32]
    flux: NDArray[np.float32]
    error: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.why)

    def rows(self, why: str) -> NDArray[np.intp]:
        """Indices of the objects shown for this reason."""
        return np.flatnonzero(self.why == why)


@dataclass(frozen=True)
class Twins:
    """m stars beside their simulated twins under the same conditions (appendix A of the paper).

    Attributes
    ----------
    object_id : str (m,)
    mag : float64 (m,), mag
        Median PSF magnitude of the star, and magnitude of the twin.
    mjd : float64 (m, T), d
        NaN beyond the last image.
    real, twin : float32 (m, T, H, W), ADU
        Stamps less the reported sky; NaN as in `Shown`.
    """

    object_id: NDArray[np.str_]
    mag: NDArray[np.float64]
    mjd: NDArray[np.float64]
    real: NDArray[np.float32]
    twin: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.object_id)


@dataclass(frozen=True)
class Curves:
    """Features of n light curves, for figure 14.

    Attributes
    ----------
    values : float64 (n, 6)
        Columns `FEATURES`.
    label : str (n,)
    real : bool (n,)
        False for the simulated ones.
    labelled : bool (n,)
        The real ones that join the simulated ones in the augmented set (the paper: 10 per class).
    """

    values: NDArray[np.float64]
    label: NDArray[np.str_]
    real: NDArray[np.bool_]
    labelled: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Cost:
    """Seconds for the same movies, measured one after the other in one process.

    Attributes
    ----------
    objects, images : int
        Movies timed and their usable images; 0 where nothing was timed.
    seconds : float, s
        Of `Classifier.predict`: probabilities after every image.
    yardstick : float, s
        Of `skyreel.photometry.psf_flux` on the same images: what other runs and machines are compared by.
    """

    objects: int
    images: int
    seconds: float
    yardstick: float


@dataclass(frozen=True)
class Exhibits:
    """All of them; `skyreel.evaluate.exhibits.collect` makes one.

    Attributes
    ----------
    model : str
        Name of the component that classified, for example 'RCNN'.
    data, protocol : str
        What was scored, and how the movies were cut.
    classes : tuple of str
        Classes of the probabilities.
    shown : Shown
    twins : Twins
    curves : Curves
    cost : Cost
    """

    model: str
    data: str
    protocol: str
    classes: tuple[str, ...]
    shown: Shown
    twins: Twins
    curves: Curves
    cost: Cost


_PARTS: dict[str, type[Any]] = {"shown": Shown, "twins": Twins, "curves": Curves, "cost": Cost}


def write_exhibits(path: Path, exhibits: Exhibits) -> None:
    """Writes one compressed .npz without pickle, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    columns: dict[str, NDArray[Any]] = {name: np.array(getattr(exhibits, name)) for name in ("model", "data", "protocol", "classes")}
    for name, kind in _PARTS.items():
        part = getattr(exhibits, name)
        columns |= {f"{name}.{item.name}": np.asarray(getattr(part, item.name)) for item in fields(kind)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def read_exhibits(path: Path) -> Exhibits:
    """Reads what `write_exhibits` wrote.

    Raises
    ------
    DataError
        For a missing, damaged or foreign file.
    """
    try:
        with np.load(os.fspath(path), allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
        parts = {name: _part(kind, name, columns) for name, kind in _PARTS.items()}
        model, data, protocol = (str(columns[name]) for name in ("model", "data", "protocol"))
        return Exhibits(model, data, protocol, tuple(map(str, columns["classes"])), **parts)
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as err:
        raise DataError(f"exhibits {path}", f"not readable ({err})", "run `skyreel evaluate` again") from err


def _part(kind: type[Any], name: str, columns: dict[str, NDArray[Any]]) -> Any:
    hints = get_type_hints(kind)
    values = {item.name: columns[f"{name}.{item.name}"] for item in fields(kind)}
    return kind(**{key: hints[key](value) if hints[key] in (int, float) else value for key, value in values.items()})

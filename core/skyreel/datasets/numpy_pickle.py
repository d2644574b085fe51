"""Dictionaries of numpy arrays from `.npy` files that hold a pickle, without running anything that the file names.

Numpy's own functions are not called on what a file says either: `ndarray.__setstate__` takes any bytes for pointers when
a dtype has been told that it holds no objects. The pickle's five names stand for inert notes, and arrays are built from
the notes by `numpy.frombuffer`, for numbers, text and records of them alone.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import tokenize
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from skyreel.datasets.ragged import READ_ERRORS, damaged

_ADMITTED = frozenset(
    [(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")]
    + [("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")]
)
_OPCODES = re.compile(
    "PROTO|FRAME|STOP|MARK|(STACK_)?GLOBAL|REDUCE|BUILD|NONE|NEWTRUE|NEWFALSE|(BIN)?INT|BININT[12]|LONG1?"
    "|(SHORT_)?BIN(STRING|UNICODE|BYTES)|STRING|UNICODE|(EMPTY_)?(TUPLE|LIST|DICT)|TUPLE[123]|APPENDS?|SETITEMS?"
    "|(LONG_)?BIN(PUT|GET)|PUT|GET|MEMOIZE"
)
"""What pickles of arrays consist of, protocols 0 to 4 (the standard library's `pickletools` describes each)."""
_PLAIN = "biufSU"
"""Kinds of dtype that hold no pointers."""
_NPY_ERRORS = (*READ_ERRORS, TypeError, SyntaxError, tokenize.TokenError)
"""What numpy raises for a damaged header: it parses that as Python text."""
_PICKLE_ERRORS = (*_NPY_ERRORS, pickle.UnpicklingError, AttributeError, IndexError, OverflowError, RecursionError)


class _Foreign(Exception):
    """A name that is not numpy's reconstruction."""


class _Dtype:
    """Note of a dtype; `value` is None for objects."""

    __slots__ = ("value",)

    def __init__(self, code: str) -> None:
        self.value: np.dtype[Any] | None = None if code.startswith("O") else _plain_dtype(np.dtype(code))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, order, _subarray, names, fields, itemsize = state[:6]
        if self.value is None:
            return
        if names is None:
            self.value = self.value.newbyteorder(order)
            return
        parts = [_of(fields[name][0], _Dtype).value for name in names]
        if any(part is None for part in parts):  # not `in`: numpy's dtypes equal None where they are float64
            raise ValueError("a record of objects")
        record = {"names": list(names), "formats": parts, "offsets": [fields[name][1] for name in names], "itemsize": itemsize}
        self.value = _plain_dtype(np.dtype(record))  # type: ignore[call-overload]


class _Array:
    """Note of an array: `value` is one of numbers or text, or the list of an array of objects."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, content = state[-4:]
        kind = _of(dtype, _Dtype).value
        if kind is None:
            self.value = _of(content, list)
            return
        raw, size = _bytes(content), math.prod(shape)
        if size * kind.itemsize != len(raw) or size < 0:
            raise ValueError(f"{len(raw)} bytes for an array {tuple(shape)} of {kind}")
        # a writable copy of its own: the note's bytes are shared by whatever else the pickle points at them
        self.value = np.frombuffer(raw, kind).reshape(shape, order="F" if fortran else "C").copy() if size else np.empty(shape, kind)


class _Global:
    """Note of a name in the pickle; calling it makes the note of what numpy would have made."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *arguments: Any) -> Any:
        if self.name == "dtype":
            return _Dtype(_text(arguments[0]))
        if self.name == "_reconstruct" and isinstance(arguments[0], _Global) and arguments[0].name == "ndarray":
            return _Array()
        if self.name == "scalar":
            note = _Array()
            note.__setstate__(((), arguments[0], False, arguments[1]))
            return note
        if self.name == "encode" and _text(arguments[1]) in ("latin1", "latin-1"):
            return _text(arguments[0]).encode("latin1")
        raise ValueError(f"a call of {self.name} with {len(arguments)} arguments")

    def __setstate__(self, state: Any) -> NoReturn:
        raise ValueError(f"a state for the function {self.name}")


class _Reader(pickle.Unpickler):
    """Finds no name outside `_ADMITTED`, and a note for each of those."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _Foreign(f"{module}.{name}")
        return _Global(name)


def _scan(content: bytes) -> None:
    """Refuses names, opcodes and sizes before anything is loaded."""
    for opcode, argument, _place in pickletools.genops(content):
        if opcode.name in ("GLOBAL", "INST") and tuple(str(argument).split(" ")) not in _ADMITTED:
            raise _Foreign(str(argument).replace(" ", "."))
        if not _OPCODES.fullmatch(opcode.name):
            raise ValueError(f"opcode {opcode.name}")
        if opcode.name.endswith("PUT") and (argument or 0) > len(content):  # the memo is a table of that many entries
            raise ValueError(f"entry {argument} of the memo")


def read_record(file: Path) -> dict[str, NDArray[Any]]:
    """The dictionary of arrays in a `.npy` file of one object, written by Python 2 or 3.

    Raises
    ------
    DatasetError
        If the file is absent, cut short, not of this form, or its pickle names anything but numpy's reconstruction
        (``numpy.core.multiarray._reconstruct`` and ``scalar``, ``numpy.ndarray``, ``numpy.dtype``,
        ``_codecs.encode``, with ``numpy._core`` too); nothing that it names is imported or called.
    """
    try:
        stream = io.BytesIO(file.read_bytes())
        if _header(stream) != ((), np.dtype(object)):
            raise ValueError("not one object")
        content = stream.read()
        _scan(content)
        loaded = _Reader(io.BytesIO(content), encoding="latin1").load()
        (record,) = _of(_of(loaded, _Array).value, list)
        return {_text(name): _filled(note) for name, note in _of(record, dict).items()}
    except _Foreign as err:
        raise damaged(file, f"its pickle names {err}, which is not numpy's reconstruction; nothing was run") from None
    except _PICKLE_ERRORS as err:
        raise damaged(file, f"not a readable record of arrays ({type(err).__name__}: {err})") from err


def read_array(file: Path) -> NDArray[Any]:
    """A `.npy` file of numbers, text or records, without pickle.

    Raises
    ------
    DatasetError
        If the file is absent, cut short, or holds objects.
    """
    try:
        with file.open("rb") as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except _NPY_ERRORS as err:
        raise damaged(file, f"not a readable array ({type(err).__name__}: {err})") from err


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _fortran, dtype = read(stream)
    return shape, dtype


def _filled(note: Any) -> NDArray[Any]:
    return _of(_of(note, _Array).value, np.ndarray)  # type: ignore[no-any-return]


def _plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    parts = [dtype] if dtype.names is None else [dtype.fields[name][0] for name in dtype.names]  # type: ignore[index]
    empty = dtype.itemsize == 0 and dtype.kind != "V"
    if empty or any(part.kind not in _PLAIN + "V" * (dtype.names is None) or part.subdtype for part in parts):
        raise ValueError(f"dtype {dtype}")
    return dtype


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{type(value).__name__.strip('_').lower()} where {kind.__name__.strip('_').lower()} was expected")
    return value


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else _of(value, str)


def _bytes(value: Any) -> bytes:
    return value.encode("latin1") if isinstance(value, str) else _of(value, bytes)

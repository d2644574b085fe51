"""Whether an input's files are there and as published: existence and size every time, checksums once per version of a file."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from skyreel import files
from skyreel.errors import OutputError
from skyreel.public_data.inputs import PublicInput, Repository

_CONTENTS = ".contents.json"
_CHECKED = ".checked.json"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Expected:
    """What a file must be.

    Parameters
    ----------
    size : int
        Bytes.
    digest : str
        Checksum in hexadecimal.
    kind : {'sha256', 'git'}
        How it is computed: 'git' is the name git gives the content.
    """

    size: int
    digest: str
    kind: Literal["sha256", "git"] = "sha256"


@dataclass(frozen=True)
class Found:
    """What is on this machine.

    Parameters
    ----------
    state : {'downloaded', 'absent', 'damaged'}
        'damaged' means that a file of it is missing or differs.
    detail : str
        What is wrong, '' for 'downloaded'.
    """

    state: Literal["downloaded", "absent", "damaged"]
    detail: str = ""


def digest(path: Path, kind: Literal["sha256", "git"] = "sha256") -> str:
    """Checksum of a file; 'git': SHA-1 of 'blob', its size, a zero byte and its content, as git names it."""
    made = hashlib.sha256() if kind == "sha256" else hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            made.update(block)
    return made.hexdigest()


def inspect(entry: PublicInput, folder: Path) -> Found:
    """Compares a folder with what the input must be.

    Parameters
    ----------
    entry : PublicInput
        The input.
    folder : Path
        Where its files are or would be.

    Returns
    -------
    Found
        Checksums are computed only for files whose size or date changed since they were last found right; that is
        noted in the folder, where it can be written to.
    """
    wanted = expected(entry, folder)
    if not wanted or not any((folder / name).exists() for name in wanted):
        return Found("absent", f"no {folder}" if not folder.is_dir() else f"{folder} does not hold it")
    seen = _read(folder / _CHECKED)
    checked: dict[str, Any] = {}
    for name, want in wanted.items():
        path = folder / name
        if not path.is_file():
            return Found("damaged", f"no file {path}")
        status = path.stat()
        if status.st_size != want.size:
            return Found("damaged", f"{path} has {status.st_size} bytes, expected {want.size}")
        checked[name] = [status.st_size, status.st_mtime_ns, want.digest]
        if seen.get(name) != checked[name] and (found := digest(path, want.kind)) != want.digest:
            return Found("damaged", f"{path} has {want.kind} checksum {found}, expected {want.digest}")
    if checked != seen:
        with suppress(OutputError):  # a shared folder may be read-only: its checksums are then computed every time
            files.write_text(folder / _CHECKED, json.dumps(checked))
    return Found("downloaded")


def expected(entry: PublicInput, folder: Path) -> dict[str, Expected]:
    """Name -> what the file must be; of a repository as noted in `folder` when it was fetched, empty if it was not."""
    if not isinstance(entry.source, Repository):
        return {file.name: Expected(file.size, file.sha256) for file in entry.source}
    noted = _read(folder / _CONTENTS)
    if noted.get("commit") != entry.source.commit:
        return {}
    return {name: Expected(size, made, "git") for name, (size, made) in noted["files"].items()}


def note_contents(folder: Path, commit: str, contents: dict[str, tuple[int, str]]) -> None:
    """Writes down which files (name -> size, git's name of the content) belong to a repository's commit.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    """
    files.write_text(folder / _CONTENTS, json.dumps({"commit": commit, "files": contents}))


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of ours; empty if there is none or it is damaged, which costs no more than checking again."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

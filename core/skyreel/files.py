"""Small files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from skyreel.errors import OutputError


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file so that a reader finds the old content or the new one; its folder is made if need be.

    Raises
    ------
    OutputError
        If the folder cannot be written to or is full; nothing of the new content is left.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a crash after the rename must not leave an empty file
        os.replace(temporary, path)
    except OSError as err:
        raise OutputError(f"writing {path}", str(err), "choose a folder with free space that can be written to") from err
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of a text in UTF-8."""
    write_bytes(path, text.encode("utf-8"))

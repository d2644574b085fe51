"""``movies.json``: what a folder of movies holds, whether it is complete, and the checksums of its shards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from skyreel.errors import MovieFileError
from skyreel.files import write_text
from skyreel.movie_shards import SCHEMA_VERSION, digest

MANIFEST = "movies.json"
UNFINISHED, COMPLETE = "unfinished", "complete"


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes `movies.json`, which marks the folder as complete, with size and SHA-256 of every shard in it.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    """
    _write(folder, COMPLETE, {**content, "shards": shard_records(sorted(folder.glob("*.arrow")))})


def write_plan(folder: Path, content: Mapping[str, Any], shards: Iterable[str]) -> None:
    """Writes a `movies.json` that says which shards are to come; readers refuse the folder until it is complete.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    """
    _write(folder, UNFINISHED, {**content, "shards": dict.fromkeys(shards)})


def _write(folder: Path, state: str, content: Mapping[str, Any]) -> None:
    written = {"schema_version": SCHEMA_VERSION, "state": state, **content}
    write_text(folder / MANIFEST, json.dumps(written, indent=2, sort_keys=True) + "\n")


def shard_records(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """File name -> ``bytes`` and ``sha256``."""
    return {path.name: {"bytes": path.stat().st_size, "sha256": digest(path)} for path in paths}


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The content of a folder's `movies.json`; None where it has none.

    Raises
    ------
    MovieFileError
        For a file that is damaged or of another schema version.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as err:
        raise MovieFileError(f"movies {path}", f"a damaged file ({err})", "simulate or copy it again") from err
    if not isinstance(content, dict) or not isinstance(content.get("shards", {}), dict):
        raise MovieFileError(f"movies {path}", "a damaged file (no list of shards)", "simulate or copy it again")
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        found = f"schema version {version}, this skyreel reads {SCHEMA_VERSION}"
        raise MovieFileError(f"movies {path}", found, "use the skyreel that wrote it")
    return content


def check_shards(folder: Path, manifest: Mapping[str, Any], found: Iterable[Path], partial: bool) -> None:
    """Compares the shards of a folder with its `movies.json`: names and sizes, which costs no reading.

    Raises
    ------
    MovieFileError
        For an unfinished set (unless `partial`), a missing or foreign shard, or one of another size.
    """
    shards = manifest.get("shards")
    if shards is None:
        return
    there = {path.name: path for path in found}
    foreign = sorted(set(there) - set(shards))
    if foreign:
        raise MovieFileError(f"movies {folder}", f"{foreign[0]} belongs to another set: {MANIFEST} does not list it", "take it out")
    missing = sorted(set(shards) - set(there))
    if manifest.get("state") == UNFINISHED:
        if not partial:
            done = f"unfinished: {len(there)} of {len(shards)} shards"
            raise MovieFileError(f"movies {folder}", done, "run the same `skyreel simulate` again, which goes on with the rest")
        return
    if missing:
        raise MovieFileError(f"movies {folder}", f"{missing[0]} is missing ({len(missing)} of {len(shards)} shards)", "copy it again")
    for name, path in there.items():
        size, wanted = path.stat().st_size, shards[name].get("bytes")
        if wanted not in (None, size):
            found_size = f"{name} has {size} bytes, {MANIFEST} says {wanted}"
            raise MovieFileError(f"movies {folder}", found_size, "it is cut short or of another set: copy or simulate it again")

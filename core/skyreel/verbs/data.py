"""`skyreel data list|get|path`: public inputs of other people, downloaded on request, checked against their checksums."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skyreel.errors import Interrupted

if TYPE_CHECKING:
    from skyreel.public_data.resume import Tick

DESCRIPTION = """\
Lists and downloads the public inputs that some options need. Nothing is downloaded unless asked for here."""
EPILOG = """\
examples:
  skyreel data list
  skyreel data get sesar2010 hsiao
  skyreel data get hits2015a --mirror https://data.example.org/skyreel

A mirror holds files as NAME/FILE and clones of repositories as NAME. Variables: SKYREEL_DATA (folder of the inputs),
SKYREEL_DATA_MIRROR (address of a mirror)."""


def main(argv: Sequence[str]) -> int:
    """Lists inputs, downloads them or prints the folder of one; returns 0.

    Raises
    ------
    DatasetError
        For an unknown name, a download that failed, or (path) an input that is not here.
    OutputError
        If the folder cannot be written to.
    Interrupted
        After Ctrl-C during a download.
    """
    args = _parser().parse_args(list(argv))
    if args.action == "list":
        found = inventory(args.folder)
        print(json.dumps(found, indent=2) if args.json else as_text(found))
    elif args.action == "path":
        from skyreel.public_data import folder

        print(folder(args.name))
    else:
        _get(args.names, args.mirror, args.folder, args.force)
    return 0


def _parser() -> argparse.ArgumentParser:
    shape: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = argparse.ArgumentParser(prog="skyreel data", description=DESCRIPTION, epilog=EPILOG, **shape)
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|get|path")
    listing = actions.add_parser("list", help="what there is: size, licence, citation, address, and what is here", **shape)
    listing.add_argument("--json", action="store_true", help="print JSON, with the files and their checksums")
    getting = actions.add_parser("get", help="download inputs; goes on where an interrupted download stopped", **shape)
    getting.add_argument("names", nargs="+", metavar="NAME", help="one of `skyreel data list`")
    getting.add_argument("--mirror", metavar="URL", help="address to download from instead (http, https or file)")
    getting.add_argument("--force", action="store_true", help="download what is here as well")
    for action in (listing, getting):
        action.add_argument("--folder", metavar="DIR", help="folder of the inputs (default: $SKYREEL_DATA, else the user's cache)")
    where = actions.add_parser("path", help="print the folder of a downloaded input", **shape)
    where.add_argument("name", metavar="NAME")
    return parser


def inventory(folder: str | None = None) -> list[dict[str, Any]]:
    """The public inputs, as plain containers.

    Parameters
    ----------
    folder : str, optional
        Folder of the inputs, see `skyreel.public_data.root`.

    Returns
    -------
    list of dict
        ``name``, ``summary``, ``size`` [bytes], ``licence``, ``citation``, ``from`` (dicts of the files or the repository),
        ``state`` ('downloaded', 'absent', 'damaged'), ``detail`` (what is wrong) and ``path``.
    """
    from dataclasses import asdict

    from skyreel.public_data import INPUTS, Repository, inspect, root

    above = root(folder)
    listed = []
    for name, entry in INPUTS.items():
        found = inspect(name, above)
        sources = [entry.source] if isinstance(entry.source, Repository) else list(entry.source)
        known = {"name": name, "summary": entry.summary, "size": entry.size, "licence": entry.licence, "citation": entry.citation}
        state = {"state": found.state, "detail": found.detail, "path": str(above / name)}
        listed.append({**known, "from": [asdict(source) for source in sources], **state})
    return listed


def as_text(listed: Sequence[dict[str, Any]]) -> str:
    """The inventory for a terminal."""
    lines = []
    for entry in listed:
        here = {"downloaded": entry["path"], "absent": "not downloaded", "damaged": f"damaged: {entry['detail']}"}[entry["state"]]
        addresses = [f"{source['url']}{' at ' + source['commit'] if 'commit' in source else ''}" for source in entry["from"]]
        lines.append(f"{entry['name']:12} {entry['summary']}")
        lines += [f"    {label:8} {text}" for label, text in [("size", megabytes(entry["size"])), ("licence", entry["licence"])]]
        lines += [f"    {'cite':8} {entry['citation']}", f"    {'here':8} {here}"]
        lines += [f"    {'from' if k == 0 else '':8} {address}" for k, address in enumerate(addresses)]
    return "\n".join(lines)


def megabytes(size: int) -> str:
    """A number of bytes for people, in units of 10^6 bytes."""
    return f"{size / 1e6:.3g} MB"


def _get(names: Sequence[str], mirror: str | None, folder: str | None, force: bool) -> None:
    from skyreel.public_data import find, get

    entries = [find(name) for name in names]  # a misspelt name stops it before the first download
    for entry in entries:
        try:
            with _progress() as tick:
                place = get(entry.name, mirror, folder, force, tick)
        except KeyboardInterrupt as stop:
            remedy = "what has arrived is kept: run the same command to go on"
            raise Interrupted(f"skyreel data get {entry.name}", "interrupted", remedy) from stop
        print(f"{entry.name}: {place}\n    licence: {entry.licence}\n    cite: {entry.citation}")


@contextmanager
def _progress() -> Iterator[Tick]:
    """Bars on a terminal's stderr, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, force_jupyter=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def tick(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file, total=total)
            bars.update(tasks[file], completed=done)

        yield tick

"""Where public inputs are kept, and how they get there."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skyreel.errors import ConfigError, DatasetError, OutputError
from skyreel.public_data import checks
from skyreel.public_data.checks import Found
from skyreel.public_data.inputs import PublicInput, RemoteFile, Repository, find
from skyreel.public_data.resume import Resumable, Tick, unwritable

FOLDER_VARIABLE = "SKYREEL_DATA"
"""Environment variable: folder that holds the inputs' folders."""
MIRROR_VARIABLE = "SKYREEL_DATA_MIRROR"
"""Environment variable: address of a mirror."""
RETRIES = 2
"""Further attempts after a connection that failed or broke off."""


def root(folder: str | Path | None = None) -> Path:
    """The folder that holds the inputs' folders: `folder`, else ``$SKYREEL_DATA``, else skyreel's in the user's cache."""
    chosen = folder or os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("skyreel"))


def folder(name: str) -> Path:
    """Folder of a downloaded input, its files checked.

    Parameters
    ----------
    name : str
        One of `INPUTS`.

    Returns
    -------
    Path
        Existence and size of every file are checked at each call, its checksum when its size or date has changed.

    Raises
    ------
    DatasetError
        For an unknown name, or if the input was not downloaded or is damaged; the message names the command that helps.
    """
    return _checked(find(name), root() / name)


def inspect(name: str, folder: str | Path | None = None) -> Found:
    """Whether an input is downloaded to `root(folder)`, absent or damaged.

    Raises
    ------
    DatasetError
        For an unknown name.
    """
    return checks.inspect(find(name), root(folder) / name)


def get(
    name: str,
    mirror: str | None = None,
    folder: str | Path | None = None,
    force: bool = False,
    tick: Tick = lambda file, done, total: None,
) -> Path:
    """Downloads an input unless it is there; goes on where an earlier attempt stopped.

    Parameters
    ----------
    name : str
        One of `INPUTS`.
    mirror : str, optional
        Address below which the files are at NAME/FILE, and repositories at NAME; http, https or file. Default:
        ``$SKYREEL_DATA_MIRROR``, else the publishers' own addresses.
    folder : str or Path, optional
        See `root`; the files come into its folder NAME.
    force : bool
        Download what is there as well.
    tick : callable
        Told (file, done, total) as it proceeds: bytes of a file, parts of a repository.

    Returns
    -------
    Path
        Folder of the files, all of them checked.

    Raises
    ------
    DatasetError
        For an unknown name, if the server cannot be reached, has no such file, breaks off or serves another one.
    ConfigError
        For a mirror that is no address.
    OutputError
        If the folder is full or cannot be written to.

    Notes
    -----
    Two processes that get one input wait for each other, and the second one finds it there.
    """
    entry = find(name)
    chosen, above = _mirror(mirror), root(folder)
    place = above / name
    if not force and checks.inspect(entry, place).state == "downloaded":
        return place
    with _alone(above, name):
        if not force and checks.inspect(entry, place).state == "downloaded":
            return place
        if isinstance(entry.source, Repository):
            from skyreel.public_data import checkout

            checkout.fetch(name, entry.source, f"{chosen}/{name}" if chosen else entry.source.url, place, tick)
        else:
            for file in entry.source:
                _download(file, f"{chosen}/{name}/{file.name}" if chosen else file.url, place, force, tick)
        return _checked(entry, place)


def _checked(entry: PublicInput, place: Path) -> Path:
    found = checks.inspect(entry, place)
    if found.state == "absent":
        raise DatasetError(f"public input {entry.name!r} is not downloaded", found.detail, f"run skyreel data get {entry.name}")
    if found.state == "damaged":
        raise DatasetError(f"public input {entry.name!r} is damaged", found.detail, f"run skyreel data get {entry.name} again")
    return place


def _mirror(chosen: str | None) -> str:
    """Address of the mirror without a slash at its end, '' for none."""
    address = (chosen or os.environ.get(MIRROR_VARIABLE) or "").rstrip("/")
    if address and not address.startswith(("http://", "https://", "file://")):
        raise ConfigError(f"mirror {address!r}", "no address", "write http://..., https://... or file:///FOLDER")
    return address


@contextmanager
def _alone(above: Path, name: str) -> Iterator[None]:
    """One process at a time downloads an input."""
    from filelock import FileLock, Timeout

    lock = FileLock(above / f".{name}.lock")
    try:
        above.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logging.getLogger("skyreel").warning("another process downloads %s: waiting for it", name)
            lock.acquire()
    except OSError as err:
        raise unwritable(above, err) from err
    try:
        yield
    finally:
        lock.release()


def _download(file: RemoteFile, url: str, place: Path, force: bool, tick: Tick) -> None:
    import pooch
    import requests

    here, held = place / file.name, place / f".{file.name}.old"
    try:
        place.mkdir(parents=True, exist_ok=True)
        if force:
            (place / f"{file.name}.part").unlink(missing_ok=True)
            if here.exists():
                os.replace(here, held)
        hashes, urls = {file.name: f"sha256:{file.sha256}"}, {file.name: url}
        store = pooch.create(path=place, base_url="", registry=hashes, urls=urls, retry_if_failed=RETRIES)
        with _quiet(pooch.get_logger()):
            store.fetch(file.name, downloader=Resumable(file, place, tick))
    except requests.exceptions.RequestException as err:
        remedy = "check the network, or name a mirror (--mirror URL or SKYREEL_DATA_MIRROR); what has arrived is kept"
        raise DatasetError(f"downloading {file.name} from {url}", _reason(err), remedy) from err
    except OutputError:
        raise
    except OSError as err:
        raise unwritable(place, err) from err
    finally:
        if held.exists():  # the old file goes when the new one is there
            held.unlink() if here.exists() else os.replace(held, here)


def _reason(err: Exception) -> str:
    """Why a server could not be reached: the system's words, without those of the libraries around them."""
    import requests

    answer = getattr(err, "response", None)
    if answer is not None:
        return f"the server answers {answer.status_code} {answer.reason}"
    if isinstance(err, requests.exceptions.Timeout):
        return "the server does not answer in time"
    said = re.search(r"\[Errno -?\d+\] ([^'\")]+)", str(err))
    return said[1].strip() if said else str(err)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Pooch's own messages are left to our progress and errors."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

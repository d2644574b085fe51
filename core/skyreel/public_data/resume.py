"""Downloader for pooch that goes on where the last attempt stopped."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from skyreel.errors import DatasetError, OutputError
from skyreel.public_data.checks import digest
from skyreel.public_data.inputs import RemoteFile

if TYPE_CHECKING:
    import requests

Tick = Callable[[str, int, int], None]
"""Told the file, the bytes that are here and the bytes there will be."""

TIMEOUT = (10.0, 60.0)
"""Longest wait [s] for a connection and for the next bytes."""
_BLOCK = 1 << 14


class Resumable:
    """Downloads one file into ``NAME.part`` and hands it over when it is whole and right.

    Parameters
    ----------
    file : RemoteFile
        What is wanted.
    folder : Path
        Where the partial file is kept between attempts.
    tick : callable
        Told the progress.

    Notes
    -----
    Called by pooch as ``downloader(url, output_file, pooch)``. Errors that another attempt may mend are
    `requests.exceptions.RequestException`, which pooch answers with another attempt; others are `DatasetError` and `OutputError`.
    """

    def __init__(self, file: RemoteFile, folder: Path, tick: Tick) -> None:
        self.file = file
        self.part = folder / f"{file.name}.part"
        self.tick = tick

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Writes `output_file`.

        Raises
        ------
        requests.exceptions.RequestException
            If the server cannot be reached, fails (status 5xx) or breaks off; what has arrived is kept.
        DatasetError
            If the server has no such file or serves another one; nothing of that is kept.
        OutputError
            If the folder is full or cannot be written to.
        """
        before = self.part.stat().st_size if self.part.is_file() else 0
        if before < self.file.size:
            self._fetch(url, before)
        found = digest(self.part)
        if found != self.file.sha256 and before:  # the earlier attempt may have left something else
            self.part.unlink()
            self._fetch(url, 0)
            found = digest(self.part)
        if found != self.file.sha256:
            self.part.unlink()
            raise self._wrong(url, f"checksum sha256 {found}, expected {self.file.sha256}")
        os.replace(self.part, output_file)

    def _fetch(self, url: str, start: int) -> None:
        import requests

        self._check_room(self.file.size - start)
        split = urlsplit(url)
        if split.scheme == "file":
            self._store(url, _local(self.file.name, url, Path(url2pathname(split.path))), 0)
        else:
            answer = self._request(url, start)
            with closing(answer):
                first = _first_byte(answer)
                length = answer.headers.get("Content-Length", "")
                if length.isdigit() and first + int(length) != self.file.size:
                    raise self._wrong(url, f"{first + int(length)} bytes, expected {self.file.size}")
                self._store(url, _blocks(answer), first)
        here = self.part.stat().st_size
        if here < self.file.size:
            raise requests.exceptions.ConnectionError(f"the connection broke off after {here} of {self.file.size} bytes")

    def _request(self, url: str, start: int) -> requests.Response:
        """The server's answer, which begins at byte `start` or at 0."""
        import requests

        # identity: some servers would otherwise pack what they send
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        answer = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
        if start and (answer.status_code == 416 or _first_byte(answer) not in (0, start)):  # the server's file is not what is here
            answer.close()
            return self._request(url, 0)
        if 400 <= answer.status_code < 500:
            answer.close()
            raise DatasetError(
                f"downloading {self.file.name} from {url}",
                f"the server answers {answer.status_code} {answer.reason}",
                "try later, or name a mirror that has it (--mirror URL or SKYREEL_DATA_MIRROR)",
            )
        answer.raise_for_status()
        return answer

    def _store(self, url: str, blocks: Iterator[bytes], start: int) -> None:
        """Puts `blocks` behind the first `start` bytes of the partial file."""
        import requests

        try:
            with self.part.open("ab" if start else "wb") as out:
                here = start
                for block in blocks:
                    here += len(block)
                    if here > self.file.size:  # a page instead of the file, without end perhaps
                        self.part.unlink()
                        raise self._wrong(url, f"more than the expected {self.file.size} bytes")
                    out.write(block)
                    self.tick(self.file.name, here, self.file.size)
        except OSError as err:
            if isinstance(err, requests.exceptions.RequestException):
                raise
            raise unwritable(self.part, err) from err

    def _check_room(self, needed: int) -> None:
        if shutil.disk_usage(self.part.parent).free < needed:
            raise unwritable(self.part, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _wrong(self, url: str, found: str) -> DatasetError:
        remedy = "it is not the published file and was not kept: try another mirror, or none"
        return DatasetError(f"downloading {self.file.name} from {url}", found, remedy)


def unwritable(path: Path, err: OSError) -> OutputError:
    """The error for a folder that is full or cannot be written to."""
    remedy = "choose a folder with free space that can be written to (--folder DIR or SKYREEL_DATA)"
    return OutputError(f"writing {path}", err.strerror or str(err), remedy)


def _first_byte(answer: Any) -> int:
    """Where a server's answer begins in the file: a server that knows no ranges begins at 0."""
    stated = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(stated[1]) if stated else 0


def _blocks(answer: Any) -> Iterator[bytes]:
    """Bytes as they are sent: those of a .gz file are not unpacked where a server calls them encoded."""
    import requests
    import urllib3

    try:
        yield from answer.raw.stream(_BLOCK, decode_content=False)
    except urllib3.exceptions.HTTPError as err:
        raise requests.exceptions.ConnectionError(f"the connection broke off: {err}") from err


def _local(name: str, url: str, path: Path) -> Iterator[bytes]:
    """Bytes of a file of this machine."""
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as err:
        remedy = "name a folder with the files as NAME/FILE (--mirror file:///FOLDER or SKYREEL_DATA_MIRROR)"
        raise DatasetError(f"copying {name} from {url}", err.strerror or str(err), remedy) from err

"""A small HTTP server of one folder that misbehaves on request, and remembers what it was asked."""

import gzip
import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from skyreel.public_data import PublicInput, RemoteFile

TOY = {"a.bin": bytes(range(256)) * 400, "b.dat.gz": gzip.compress(b"a table\n" * 2000, mtime=0)}
"""Name -> content of the files of a made-up input."""
A, B = TOY.values()


def toy_input(url: str = "http://127.0.0.1:1") -> PublicInput:
    """The made-up input 'toy' with its files at URL/toy/NAME."""
    files = [RemoteFile(name, f"{url}/toy/{name}", len(body), hashlib.sha256(body).hexdigest()) for name, body in TOY.items()]
    return PublicInput("toy", "two made-up files", "none", "nobody", tuple(files))


def write_toy(mirror: Path) -> None:
    """The files of 'toy' in the layout of a mirror."""
    (mirror / "toy").mkdir(parents=True)
    for name, body in TOY.items():
        (mirror / "toy" / name).write_bytes(body)


@dataclass
class Behaviour:
    """How the server answers.

    Attributes
    ----------
    cut : int or None
        Closes the connection after that many bytes of the body, `cuts` times.
    cuts : int
        Connections still to be cut.
    ranges : bool
        Whether it answers Range requests with a part.
    shift : int
        Answers Range requests with a part that begins so many bytes later.
    status : int or None
        Answers everything with this status and a page.
    length : bool
        Whether it says how long the body is.
    encoded : bool
        Calls the files gzip-encoded, as some servers do with .gz files.
    replace : bytes or None
        Sends this instead of any file.
    hold : threading.Event or None
        Waits for it after `cut` bytes.
    asked : list of (str, str or None)
        Path and Range header of every request.
    started : threading.Event
        Set when it waits.
    """

    cut: int | None = None
    cuts: int = 0
    ranges: bool = True
    shift: int = 0
    status: int | None = None
    length: bool = True
    encoded: bool = False
    replace: bytes | None = None
    hold: threading.Event | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)

    def files(self) -> list[str]:
        """Names of the files asked for, in order."""
        return [path.rsplit("/", 1)[-1] for path, _ in self.asked]

    def ranged(self) -> list[str | None]:
        """The Range header of every request."""
        return [wanted for _, wanted in self.asked]


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Behaviour]]:
    """Serves `folder` on a free port of this machine; yields its address and its behaviour."""
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            behaviour.asked.append((self.path, self.headers.get("Range")))
            file = folder / self.path.lstrip("/")
            if behaviour.status or not (file.is_file() or behaviour.replace is not None):
                self._page(behaviour.status or 404)
                return
            body = file.read_bytes() if behaviour.replace is None else behaviour.replace
            wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) if behaviour.ranges else None
            start = int(wanted[1]) + behaviour.shift if wanted else 0
            if wanted and start >= len(body):
                self._page(416)
                return
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if behaviour.length:
                self.send_header("Content-Length", str(len(body) - start))
            if behaviour.encoded:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self._body(body[start:])

        def _body(self, body: bytes) -> None:
            if behaviour.hold is not None:
                self.wfile.write(body[: behaviour.cut])
                self.wfile.flush()
                behaviour.started.set()
                behaviour.hold.wait(20)
                body = body[behaviour.cut :]
            if behaviour.cuts:
                behaviour.cuts -= 1
                body = body[: behaviour.cut]
            self.wfile.write(body)
            self.close_connection = True

        def _page(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"page")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda request, address: None  # a client that hangs up
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", behaviour
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

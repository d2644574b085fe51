"""Public inputs: what is fetched from a server that answers well, badly or not at all, and what is left of it."""

import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import TOY, A, B, Behaviour, served, toy_input, write_toy

from skyreel import public_data
from skyreel.errors import ConfigError, DatasetError, OutputError, SkyreelError
from skyreel.public_data import INPUTS, Repository, checks, folder, get, inspect, store
from skyreel.public_data.checks import Found

CUT = 40_000
"""Where connections are cut [bytes of A]."""


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs land in tmp_path; pooch does not wait between attempts."""
    monkeypatch.setenv("SKYREEL_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("SKYREEL_DATA_MIRROR", raising=False)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """The publisher of 'toy'."""
    write_toy(tmp_path / "publisher")
    with served(tmp_path / "publisher") as (url, behaviour):
        monkeypatch.setitem(INPUTS, "toy", toy_input(url))
        yield behaviour


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No further attempts after a broken connection."""
    monkeypatch.setattr(store, "RETRIES", 0)


def holds_toy(place: Path) -> bool:
    """Whether the files are right and nothing else is there but our note of that."""
    left = {path.name: path.read_bytes() for path in place.iterdir() if path.name != ".checked.json"}
    return left == TOY


def refused(kind: type[SkyreelError], *words: str, **options: object) -> str:
    """`get` fails with an error of exactly that type whose message holds all of `words`."""
    with pytest.raises(kind) as caught:
        get("toy", **options)
    assert type(caught.value) is kind
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)
    assert all((caught.value.asked, caught.value.found, caught.value.remedy))
    return str(caught.value)


def test_files_come_once(server: Behaviour, tmp_path: Path) -> None:
    place = get("toy")
    assert place == tmp_path / "data" / "toy" == folder("toy")
    assert holds_toy(place)
    assert get("toy") == place
    assert server.files() == ["a.bin", "b.dat.gz"]


def test_a_chosen_folder_and_mirror(server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INPUTS, "toy", toy_input())  # nobody answers at the publisher's address
    url = f"file://{tmp_path / 'publisher'}"
    assert holds_toy(get("toy", mirror=url, folder=tmp_path / "chosen"))
    assert (tmp_path / "chosen" / "toy").is_dir()
    assert not (tmp_path / "data").exists()
    monkeypatch.setenv("SKYREEL_DATA_MIRROR", f"{url}/")
    assert holds_toy(get("toy"))
    assert not server.asked


def test_progress_is_told_to_the_last_byte(server: Behaviour) -> None:
    told: list[tuple[str, int, int]] = []
    get("toy", tick=lambda *step: told.append(step))
    assert [step for step in told if step[1] == step[2]] == [("a.bin", len(A), len(A)), ("b.dat.gz", len(B), len(B))]
    assert [step[1] for step in told if step[0] == "a.bin"] == sorted({step[1] for step in told if step[0] == "a.bin"})


def test_a_broken_connection_is_resumed_by_the_next_attempt(server: Behaviour) -> None:
    server.cut, server.cuts = CUT, 1
    assert holds_toy(get("toy"))
    assert server.asked == [("/toy/a.bin", None), ("/toy/a.bin", f"bytes={CUT}-"), ("/toy/b.dat.gz", None)]


@pytest.mark.usefixtures("once")
def test_a_broken_connection_is_resumed_by_the_next_command(server: Behaviour, tmp_path: Path) -> None:
    server.cut, server.cuts = CUT, 1
    refused(DatasetError, "downloading a.bin from http://", "broke off", f"{CUT}", "check the network", "what has arrived is kept")
    assert (tmp_path / "data/toy/a.bin.part").read_bytes() == A[:CUT]
    assert not (tmp_path / "data/toy/a.bin").exists()
    assert holds_toy(get("toy"))
    assert server.ranged() == [None, f"bytes={CUT}-", None]


@pytest.mark.usefixtures("once")
def test_a_connection_cut_without_a_stated_length_is_no_whole_file(server: Behaviour, tmp_path: Path) -> None:
    server.cut, server.cuts, server.length = CUT, 1, False
    refused(DatasetError, f"the connection broke off after {CUT} of {len(A)} bytes")
    assert holds_toy(get("toy"))


@pytest.mark.parametrize(
    ("answer", "ranged"),
    [({"ranges": False}, [None, f"bytes={CUT}-", None]), ({"shift": 7}, [None, f"bytes={CUT}-", None, None])],
    ids=["ignores", "shifts"],
)
@pytest.mark.usefixtures("once")
def test_a_server_without_proper_ranges_sends_all_again(server: Behaviour, answer: dict[str, object], ranged: list[str | None]) -> None:
    server.cut, server.cuts = CUT, 1
    refused(DatasetError, "broke off")
    vars(server).update(answer)
    assert holds_toy(get("toy"))
    assert server.ranged() == ranged


@pytest.mark.parametrize("left", [b"x" * CUT, b"x" * len(A), A + b"x", b""], ids=["half", "whole", "too long", "empty"])
def test_a_wrong_partial_file_does_no_harm(server: Behaviour, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "data/toy").mkdir(parents=True)
    (tmp_path / "data/toy/a.bin.part").write_bytes(left)
    assert holds_toy(get("toy"))
    assert server.ranged()[-2:] == [None, None]


def test_a_whole_partial_file_is_not_asked_for(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "data/toy").mkdir(parents=True)
    (tmp_path / "data/toy/a.bin.part").write_bytes(A)
    assert holds_toy(get("toy"))
    assert server.files() == ["b.dat.gz"]


def test_another_file_of_the_same_length(server: Behaviour, tmp_path: Path) -> None:
    server.replace = A[::-1]
    found, wanted = (hashlib.sha256(body).hexdigest() for body in (A[::-1], A))
    refused(DatasetError, f"checksum sha256 {found}, expected {wanted}", "not the published file", "not kept", "mirror")
    assert list((tmp_path / "data/toy").iterdir()) == []
    assert len(server.asked) == 1  # asking again would bring the same


@pytest.mark.parametrize(
    ("length", "found"), [(True, f"{len(A) + 1} bytes, expected {len(A)}"), (False, f"more than the expected {len(A)} bytes")]
)
def test_a_longer_file(server: Behaviour, tmp_path: Path, length: bool, found: str) -> None:
    server.replace, server.length = A + b"x", length
    refused(DatasetError, found, "not the published file")
    assert list((tmp_path / "data/toy").iterdir()) == []


def test_a_page_instead_of_the_file(server: Behaviour) -> None:
    server.replace = b"<html>log in first</html>"
    refused(DatasetError, f"25 bytes, expected {len(A)}")


def test_a_shorter_file_than_is_here_already(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "data/toy").mkdir(parents=True)
    (tmp_path / "data/toy/a.bin.part").write_bytes(A[:CUT])
    server.replace = A[:100]
    refused(DatasetError, f"100 bytes, expected {len(A)}")
    assert server.ranged() == [f"bytes={CUT}-", None]
    server.replace = None
    assert holds_toy(get("toy"))
    assert server.ranged()[2:] == [f"bytes={CUT}-", None]  # what had arrived was not lost


def test_packed_files_stay_packed(server: Behaviour) -> None:
    server.encoded = True
    assert holds_toy(get("toy"))


@pytest.mark.parametrize(("status", "words", "attempts"), [(404, "404 Not Found", 1), (403, "403 Forbidden", 1), (500, "500 Internal", 3)])
def test_a_server_that_refuses(server: Behaviour, tmp_path: Path, status: int, words: str, attempts: int) -> None:
    server.status = status
    refused(DatasetError, "downloading a.bin from http://", f"the server answers {words}", "--mirror URL or SKYREEL_DATA_MIRROR")
    assert len(server.asked) == attempts
    assert list((tmp_path / "data/toy").iterdir()) == []


def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        monkeypatch.setitem(INPUTS, "toy", toy_input(f"http://127.0.0.1:{taken.getsockname()[1]}"))
        refused(DatasetError, "downloading a.bin from http://127.0.0.1:", "Connection refused; check the network, or name a mirror")


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setitem(INPUTS, "toy", toy_input("http://data.example.org"))
    refused(DatasetError, "http://data.example.org/toy/a.bin: Name or service not known; check the network")


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize("cut", [0, CUT])
def test_a_silent_server(server: Behaviour, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    monkeypatch.setattr("skyreel.public_data.resume.TIMEOUT", (1.0, 0.2))
    server.cut, server.hold = cut, threading.Event()
    with contextlib.ExitStack() as last:
        last.callback(server.hold.set)
        refused(DatasetError, "downloading a.bin", "time", "check the network")


def test_a_mirror_without_the_file(tmp_path: Path, server: Behaviour) -> None:
    url = f"file://{tmp_path}/nowhere"
    refused(DatasetError, f"copying a.bin from {url}/toy/a.bin", "No such file", "--mirror file:///FOLDER", mirror=url)


@pytest.mark.parametrize("mirror", ["/srv/mirror", "data.example.org", "ftp://data.example.org"])
def test_a_mirror_that_is_no_address(server: Behaviour, mirror: str) -> None:
    refused(ConfigError, f"mirror {mirror!r}", "no address", "file:///FOLDER", mirror=mirror)
    assert not server.asked


def test_a_full_disk_is_noticed_before(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - len(A) + 1, len(A) - 1))
    refused(OutputError, "writing", "a.bin.part: No space left on device", "--folder DIR or SKYREEL_DATA")
    assert not server.asked
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - len(A), len(A)))
    assert holds_toy(get("toy"))


def test_a_disk_that_fills_up(server: Behaviour, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CUT, hard))
    try:
        refused(OutputError, "a.bin.part: File too large", "free space")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert holds_toy(get("toy"))
    assert server.ranged() == [None, f"bytes={CUT}-", None]


def test_a_folder_that_cannot_be_made(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    refused(OutputError, f"writing {tmp_path / 'file'}", "--folder DIR or SKYREEL_DATA", folder=tmp_path / "file")
    refused(OutputError, "Not a directory", folder=tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_to(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    refused(OutputError, "Permission denied", "--folder DIR or SKYREEL_DATA")


def test_what_is_missing_is_named(server: Behaviour, tmp_path: Path) -> None:
    words = f"public input 'toy' is not downloaded: no {tmp_path}/data/toy; run skyreel data get toy"
    with pytest.raises(DatasetError, match=f"^{re.escape(words)}$"):
        folder("toy")
    place = get("toy")
    (place / "a.bin").unlink()
    assert inspect("toy") == Found("damaged", f"no file {place}/a.bin")
    with pytest.raises(DatasetError, match=r"'toy' is damaged: no file .*/a\.bin; run skyreel data get toy again"):
        folder("toy")
    assert holds_toy(get("toy"))
    assert server.files() == ["a.bin", "b.dat.gz", "a.bin"]


@pytest.mark.parametrize(
    ("body", "found"),
    [(A[:-1], f"has {len(A) - 1} bytes, expected {len(A)}"), (A[::-1], f"sha256 checksum .*, expected {'[0-9a-f]' * 64}")],
)
def test_damage_is_found_at_use_and_mended(server: Behaviour, body: bytes, found: str) -> None:
    (get("toy") / "a.bin").write_bytes(body)
    with pytest.raises(DatasetError, match=f"'toy' is damaged: .*a.bin.*{found}; run skyreel data get toy again"):
        folder("toy")
    assert holds_toy(get("toy"))


def test_checksums_are_computed_once_per_version_of_a_file(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    place = get("toy")
    read: list[str] = []
    digest = checks.digest
    monkeypatch.setattr(checks, "digest", lambda path, kind: (read.append(path.name), digest(path, kind))[1])
    folder("toy")
    assert not read
    os.utime(place / "a.bin")
    folder("toy")
    folder("toy")
    assert read == ["a.bin"]
    (place / ".checked.json").write_text("[torn")
    folder("toy")
    assert read == ["a.bin", "a.bin", "b.dat.gz"]


def test_a_shared_folder_that_is_read_only_can_be_used(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    place = get("toy")
    (place / ".checked.json").unlink()

    def read_only(path: Path, data: bytes) -> None:
        raise OutputError(f"writing {path}", "Read-only file system")

    monkeypatch.setattr("skyreel.files.write_bytes", read_only)
    assert folder("toy") == get("toy") == place
    assert not (place / ".checked.json").exists()


@pytest.mark.parametrize("behaviour", [{"status": 404}, {"replace": A[::-1]}, {"status": 503}])
def test_force_fetches_again_and_loses_nothing(server: Behaviour, behaviour: dict[str, object]) -> None:
    place = get("toy")
    assert holds_toy(get("toy", force=True))
    assert server.files() == ["a.bin", "b.dat.gz"] * 2
    vars(server).update(behaviour)
    refused(DatasetError, "a.bin", force=True)
    assert holds_toy(place)


def test_force_begins_at_the_first_byte(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "data/toy").mkdir(parents=True)
    (tmp_path / "data/toy/a.bin.part").write_bytes(A[:CUT])
    assert holds_toy(get("toy", force=True))
    assert server.ranged() == [None, None]


def test_two_processes_fetch_each_file_once(server: Behaviour, tmp_path: Path) -> None:
    script = "import sys\nfrom file_server import toy_input\nfrom skyreel.public_data import INPUTS, get\n"
    script += "INPUTS['toy'] = toy_input(sys.argv[1])\nprint(get('toy'))"
    url = INPUTS["toy"].source[0].url.removesuffix("/toy/a.bin")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    server.cut, server.hold = CUT, threading.Event()
    command = [sys.executable, "-c", script, url]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.started.wait(20)
    second = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = second.stderr.readline() if second.stderr else ""
    server.hold.set()
    assert line == "another process downloads toy: waiting for it\n"
    for process in (first, second):
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, f"{tmp_path}/data/toy\n", "")
    assert server.files() == ["a.bin", "b.dat.gz"]
    assert holds_toy(tmp_path / "data/toy")


def test_an_unknown_name(tmp_path: Path) -> None:
    for asking in (get, folder, inspect):
        with pytest.raises(DatasetError, match="public input 'hsaio': known are sesar2010, hsiao, .*; did you mean 'hsiao'?"):
            asking("hsaio")
    with pytest.raises(DatasetError, match="'zzz'.*see `skyreel data list`"):
        get("zzz")


def test_where_inputs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert public_data.root() == tmp_path / "data"
    assert public_data.root(tmp_path / "x") == tmp_path / "x"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert public_data.root("~/x") == tmp_path / "x"
    monkeypatch.setenv("SKYREEL_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert public_data.root().name == "skyreel"
    if sys.platform == "linux":
        assert public_data.root() == tmp_path / "cache" / "skyreel"


def test_addresses_name_full_commits_and_checksums_are_whole() -> None:
    assert list(INPUTS) == ["sesar2010", "hsiao", "yoachim2009", "hits2015a"]
    for name, entry in INPUTS.items():
        assert entry.name == name
        assert all((entry.summary, entry.licence, entry.citation, entry.size))
        if isinstance(entry.source, Repository):
            assert re.fullmatch("[0-9a-f]{40}", entry.source.commit)
            continue
        for file in entry.source:
            assert re.fullmatch(r"https://raw\.githubusercontent\.com/\w+/[\w-]+/[0-9a-f]{40}/\S+", file.url)
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["sesar2010", "hsiao", "yoachim2009"])
def test_real_files_are_taken(name: str, data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir / "templates", tmp_path / "mirror" / name)
    with served(tmp_path / "mirror") as (url, behaviour):
        behaviour.cut, behaviour.cuts = 20_000, 1
        place = get(name, mirror=url)
        assert behaviour.ranged()[:2] == [None, "bytes=20000-"]
    assert folder(name) == place
    files = INPUTS[name].source
    assert {path.name for path in place.iterdir()} == {file.name for file in files} | {".checked.json"}
    assert all((place / file.name).read_bytes() == (data_dir / "templates" / file.name).read_bytes() for file in files)

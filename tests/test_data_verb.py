"""`skyreel data list|get|path` as the user meets it: what is printed where, exit codes, Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import TOY, A, B, Behaviour, served, toy_input, write_toy
from verb_runs import Done, refused, skyreel

from skyreel.public_data import INPUTS

CUT = 40_000


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYREEL_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("SKYREEL_DATA_MIRROR", raising=False)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    write_toy(tmp_path / "publisher")
    with served(tmp_path / "publisher") as (url, behaviour):
        monkeypatch.setitem(INPUTS, "toy", toy_input(url))
        yield behaviour


def data(*args: str, cwd: Path) -> Done:
    return skyreel("data", *args, cwd=cwd)


def test_list_says_what_there_is_and_what_is_here(server: Behaviour, tmp_path: Path) -> None:
    done = data("list", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    entries = re.split(r"\n(?=\w)", done.out.rstrip())
    assert [entry.split()[0] for entry in entries] == list(INPUTS)
    for entry, known in zip(entries, INPUTS.values(), strict=True):
        assert all(text in entry for text in (known.summary, known.licence, known.citation, "not downloaded"))
    assert "0.259 MB" in entries[0]
    assert "https://github.com/rodrigcd/HiTS_simulations at 275198b77abef1e1db4a669e7d824d9655501ab0" in entries[3]
    assert data("get", "toy", cwd=tmp_path).code == 0
    assert f"here     {tmp_path}/data/toy\n" in data("list", cwd=tmp_path).out
    (tmp_path / "data/toy/a.bin").write_bytes(b"")
    assert f"here     damaged: {tmp_path}/data/toy/a.bin has 0 bytes, expected {len(A)}" in data("list", cwd=tmp_path).out


def test_list_for_programs(server: Behaviour, tmp_path: Path) -> None:
    assert data("get", "toy", "--folder", "chosen", cwd=tmp_path).code == 0
    listed = json.loads(data("list", "--json", "--folder", "chosen", cwd=tmp_path).out)
    toy = listed[-1]
    assert {key: toy[key] for key in ("name", "size", "state", "path")} == {
        "name": "toy",
        "size": len(A) + len(B),
        "state": "downloaded",
        "path": str(tmp_path / "chosen/toy"),
    }
    assert [file["name"] for file in toy["from"]] == list(TOY)
    assert {entry["state"] for entry in listed[:-1]} == {"absent"}


def test_get_says_where_it_is_and_whom_to_cite(server: Behaviour, tmp_path: Path) -> None:
    done = data("get", "toy", cwd=tmp_path)
    assert done == Done(0, f"toy: {tmp_path}/data/toy\n    licence: none\n    cite: nobody\n", "")
    assert data("path", "toy", cwd=tmp_path) == Done(0, f"{tmp_path}/data/toy\n", "")


def test_get_from_a_mirror(server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INPUTS, "toy", toy_input())
    assert data("get", "toy", "--mirror", f"file://{tmp_path}/publisher", cwd=tmp_path).code == 0
    monkeypatch.setenv("SKYREEL_DATA_MIRROR", f"file://{tmp_path}/none")
    refused(data("get", "toy", "--force", cwd=tmp_path), "copying a.bin from file://", "/none/toy/a.bin", "No such file")
    assert data("path", "toy", cwd=tmp_path).code == 0


def test_progress_goes_to_a_terminals_stderr(server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    done = data("get", "toy", cwd=tmp_path)
    assert done.code == 0
    assert [name in done.err for name in TOY] == [True, True]
    assert "100%" in done.err
    assert done.out.startswith("toy: ")


def test_errors_are_one_line(server: Behaviour, tmp_path: Path) -> None:
    server.replace = A[::-1]
    refused(data("get", "toy", cwd=tmp_path), "a.bin", "checksum sha256", "expected", "not the published file")
    server.status = 404
    refused(data("get", "toy", cwd=tmp_path), "404 Not Found", "--mirror URL")
    refused(data("get", "toy", "--mirror", "http://127.0.0.1:1", cwd=tmp_path), "Connection refused", "check the network")
    refused(data("path", "toy", cwd=tmp_path), "'toy' is not downloaded", "run skyreel data get toy")
    (tmp_path / "file").write_text("precious")
    refused(data("get", "toy", "--folder", "file/below", cwd=tmp_path), "Not a directory", "--folder DIR")


def test_a_misspelt_name_stops_it_before_the_first_download(server: Behaviour, tmp_path: Path) -> None:
    refused(data("get", "toy", "toi", cwd=tmp_path), "'toi'", "did you mean 'toy'?")
    assert not server.asked


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "list|get|path"),
        (["fetch"], "invalid choice: 'fetch'"),
        (["get"], "NAME"),
        (["get", "toy", "--mir", "x"], "unrecognized arguments: --mir"),
        (["list", "--mirror", "x"], "unrecognized arguments: --mirror"),
        (["path"], "NAME"),
    ],
)
def test_wrong_usage(args: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from skyreel.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["data", *args])
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_ctrl_c_keeps_what_has_arrived(server: Behaviour, tmp_path: Path) -> None:
    server.cut, server.hold = CUT, threading.Event()

    def press() -> None:
        assert server.started.wait(20)
        while not (tmp_path / "data/toy/a.bin.part").exists():
            pass
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    done = data("get", "toy", cwd=tmp_path)
    server.hold.set()
    thread.join()
    assert (done.code, done.out) == (130, "")
    assert done.err == "skyreel: skyreel data get toy: interrupted; what has arrived is kept: run the same command to go on\n"
    kept = (tmp_path / "data/toy/a.bin.part").read_bytes()
    assert kept == A[: len(kept)]
    assert {path.name for path in (tmp_path / "data/toy").iterdir()} == {"a.bin.part"}
    assert data("get", "toy", cwd=tmp_path).code == 0
    assert server.ranged() == [None, f"bytes={len(kept)}-" if kept else None, None]


def test_a_light_start() -> None:
    script = "import sys, skyreel.cli, skyreel.verbs.data, skyreel.public_data; skyreel.cli.main(['--help'])\n"
    script += "print(sorted({'pooch', 'requests', 'numpy', 'rich', 'filelock'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert re.search(r"^  data +list and download public inputs$", done.stdout, re.M)
    assert done.stdout.splitlines()[-1] == "[]"

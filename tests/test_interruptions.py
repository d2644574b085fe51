"""Full disks, read-only folders and Ctrl-C as the user meets them: one line, an exit code, nothing half-written."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from verb_runs import SIMULATE, TRAIN, Done, left, refused, skyreel


@contextlib.contextmanager
def nearly_full_disk(room: int) -> Iterator[None]:
    """No file can grow beyond `room` bytes."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("verb", ["simulate", "train", "classify", "evaluate"])
@pytest.mark.parametrize("room", [0, 8192])
def test_a_full_disk(verb: str, room: int, made: Path, tmp_path: Path) -> None:
    args = {
        "simulate": SIMULATE,
        "train": [*TRAIN, "n_objects=8"],
        "classify": ["classify", f"model={made / 'run'}", f"input={made / 'movies'}", "output=p.parquet"],
        "evaluate": ["evaluate", f"model={made / 'run'}", f"input={made / 'movies'}", "controls=false", "also=[]"],
    }[verb]
    with nearly_full_disk(room):
        done = skyreel(*args, "hydra.run.dir=run", cwd=tmp_path)
    refused(done, "File too large", "written")
    plain = {"config.yaml", "run.json", f"{verb}.log", "checkpoints", ".hydra"}
    hydras = {f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")}
    assert left(tmp_path) <= {"run", *(f"run/{name}" for name in plain | hydras)}
    if room:
        assert json.loads((tmp_path / "run" / "run.json").read_text())["command"][1] == verb


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_device_without_space(made: Path, classify: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_text("precious")
    (tmp_path / ".p.parquet.part").symlink_to("/dev/full")
    refused(classify(made / "movies"), "output=p.parquet", "No space left on device", "can be written to")
    assert left(tmp_path) == {"p.parquet"}
    assert (tmp_path / "p.parquet").read_text() == "precious"


@pytest.mark.parametrize("verb", ["simulate", "train", "classify", "evaluate"])
def test_a_run_folder_below_a_file(verb: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    done = skyreel(verb, "hydra.run.dir=file/run", cwd=tmp_path)
    refused(done, "file/run: Not a directory", "hydra.run.dir=...")
    assert left(tmp_path) == {"file"}


def test_an_output_below_a_file_or_on_a_folder(made: Path, classify: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    refused(skyreel(*SIMULATE, "output=file/out", cwd=tmp_path), "output=file/out", "Not a directory", "choose a folder")
    refused(skyreel(*SIMULATE, "output=file", cwd=tmp_path), "output=file: it already holds movies or is a file; name a new folder")
    refused(classify(made / "movies", output="file/p.parquet"), "output=file/p.parquet", "choose a file in a folder")
    refused(classify(made / "movies", output="folder"), "output=folder", "Is a directory", "choose a file")
    assert left(tmp_path) == {"file", "folder"}
    assert (tmp_path / "file").read_text() == "precious"


def test_movies_are_not_added_to_movies(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "movies", tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    words = "output=out: it already holds movies of another config (n_objects: 12, now 4, source.asteroid: given, now none, "
    refused(skyreel(*SIMULATE, cwd=tmp_path), words, "more); name a new folder or remove it")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("verb", ["simulate", "classify", "evaluate"])
def test_a_read_only_file_system(verb: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace_(source: object, target: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))

    monkeypatch.setattr(os, "replace", replace_)
    args = SIMULATE if verb == "simulate" else [verb, f"model={made / 'run'}", f"input={made / 'movies'}", "output=p.parquet"]
    refused(skyreel(*args, cwd=tmp_path), "run folder", "Read-only file system", "hydra.run.dir=...")
    assert left(tmp_path) == set()
    assert not list(tmp_path.rglob("*.part"))


# ----------------------------------------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize(("executor", "folder"), [("inprocess", "old"), ("processes", "new")])
def test_ctrl_c_while_simulating(executor: str, folder: str, tmp_path: Path) -> None:
    """Every process of the terminal gets the signal, the workers too."""
    out = tmp_path / "out"
    if folder == "old":
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    args = ["simulate", "source=[non_variable]", "n_objects=50000", "output=out", f"executor={executor}", "executor.workers=2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "skyreel.cli", *args],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(out.glob(".*.part")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "skyreel: interrupted\n")
    assert left(tmp_path) == ({"out", "out/notes.txt"} if folder == "old" else set())


def test_ctrl_c_while_classifying(made: Path, classify: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skyreel.verbs import classify as verb

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "probabilities", stop)
    done = classify(made / "movies")
    assert (done.code, done.err) == (130, "skyreel: interrupted\n")
    assert left(tmp_path) == set()

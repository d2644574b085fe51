"""Sets that a killed, interrupted or full-disk run left unfinished: completed to the same bytes, and recognised until then."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from omegaconf import OmegaConf
from verb_runs import refused, skyreel

from skyreel.errors import ConfigError, Interrupted, MovieFileError, OutputError, SimulationError
from skyreel.hydra_glue import compose
from skyreel.movie_files import MovieFile, MovieFolder, write_shard
from skyreel.movies import Movies
from skyreel.seeding import BLOCK
from skyreel.simulate import to_disk
from skyreel.simulate.run import simulate_movies, simulate_to

SET = ["source=[non_variable,asteroid]", "stamp.size=11"]
ARGS = ["simulate", *SET, "n_objects=256", "++shard_objects=64", "output=out"]


def config(*overrides: str) -> object:
    return compose("simulate", [*SET, *overrides])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set of `ARGS`, made without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    simulate_to(config(), "movies", 256, folder / "out", shard_objects=64)
    return folder / "out"


def stopping_at(number: int, stop: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shard after `number` finished ones fails."""
    done: list[Path] = []

    def failing(path: Path, batches: Iterable[Movies], metadata: Mapping[str, Any]) -> int:
        if len(done) == number:
            raise stop
        done.append(path)
        return write_shard(path, batches, metadata)

    monkeypatch.setattr(to_disk, "write_shard", failing)


@pytest.mark.parametrize("executor", ["inprocess", pytest.param("processes", marks=pytest.mark.slow)])
def test_killed_and_repeated_gives_the_same_bytes(executor: str, whole: Path, tmp_path: Path) -> None:
    """Kill -9 after the first shard: neither the process nor its workers can tidy up."""
    out = tmp_path / "out"
    args = [*ARGS, f"executor={executor}", "executor.workers=2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "skyreel.cli", *args], cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("*.arrow")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    there = {path.name for path in out.glob("*.arrow")}
    assert 0 < len(there) < 8
    for name in there:  # no partial shard is visible
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    with pytest.raises(MovieFileError, match=rf"unfinished: {len(there)} of 8 shards; run the same `skyreel simulate` again"):
        MovieFolder(out)
    assert len(MovieFolder(out, partial=True)) == 64 * len(there)
    (out / ".movies-asteroid-00003.arrow.0123.part").write_bytes(b"half")
    untouched = {name: (out / name).stat().st_mtime_ns for name in there}
    done = skyreel(*args, cwd=tmp_path)
    assert done.code == 0, done.err
    assert {name: (out / name).stat().st_mtime_ns for name in there} == untouched
    assert contents(out) == contents(whole)


@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)])
def test_any_number_of_workers_gives_the_same_bytes(workers: int, whole: Path, tmp_path: Path) -> None:
    simulate_to(config(), "movies", 256, tmp_path / "out", shard_objects=64, options={"name": "processes", "workers": workers})
    assert contents(tmp_path / "out") == contents(whole)


@pytest.mark.parametrize(
    ("stop", "error", "words"),
    [
        (KeyboardInterrupt(), Interrupted, r"^simulating: interrupted, 3 of 8 shards are finished and stay; the same command goes on"),
        (OutputError("writing x", "No space left", "free some"), OutputError, r"No space left; free some; 3 of 8 shards are finished"),
        (SimulationError("simulating", "a worker died", "check it"), SimulationError, r"a worker died; check it; 3 of 8 shards"),
    ],
)
def test_finished_shards_stay(
    stop: BaseException, error: type[Exception], words: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stopping_at(3, stop, patch)
        with pytest.raises(error, match=words):
            simulate_to(config(), "movies", 256, tmp_path / "out", shard_objects=64)
    left = contents(tmp_path / "out")
    assert len(left) == 4
    assert all(data == (whole / name).read_bytes() for name, data in left.items() if name.endswith(".arrow"))
    assert json.loads(left["movies.json"])["state"] == "unfinished"
    ticks: list[int] = []
    assert simulate_to(config(), "movies", 256, tmp_path / "out", shard_objects=64, tick=ticks.append) == 512
    assert ticks == [192, 64, 64, 64, 64, 64]
    assert contents(tmp_path / "out") == contents(whole)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OutputError("writing x", "No space left", "free some")])
def test_nothing_stays_where_nothing_is_finished(stop: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping_at(0, stop, monkeypatch)
    with pytest.raises(type(stop)):
        simulate_to(config(), "movies", 64, tmp_path / "out", shard_objects=64)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_keeps_what_is_whole(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, calls = os.fsync, []

    def filling(fileno: int) -> None:
        calls.append(fileno)
        if len(calls) > 3:  # the plan and two shards
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(fileno)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", filling)
        with pytest.raises(OutputError, match=r"No space left on device.*2 of 8 shards are finished and stay"):
            simulate_to(config(), "movies", 256, tmp_path / "out", shard_objects=64)
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".arrow", ".json"}
    simulate_to(config(), "movies", 256, tmp_path / "out", shard_objects=64)
    assert contents(tmp_path / "out") == contents(whole)


def test_shards_on_a_disk_of_the_workers_own_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setattr(to_disk, "write_shard", lambda path, *rest: write_shard(elsewhere / path.name, *rest))
    with pytest.raises(OutputError, match=r"2 of 2 shards were written but are not here.*that all workers and this machine share"):
        simulate_to(config(), "movies", 64, tmp_path / "out", shard_objects=64)
    assert not (tmp_path / "out").exists()


def test_a_damaged_shard_is_made_again(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stopping_at(2, KeyboardInterrupt(), patch)
        with pytest.raises(Interrupted):
            simulate_to(config(), "movies", 256, tmp_path / "out", shard_objects=64)
    first = min((tmp_path / "out").glob("*.arrow"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    simulate_to(config(), "movies", 256, tmp_path / "out", shard_objects=64)
    assert contents(tmp_path / "out") == contents(whole)


@pytest.mark.parametrize(
    ("overrides", "n", "shard", "words"),
    [
        (["seed=1"], 256, 64, r"of another config \(seed: 0, now 1\); name a new folder"),
        (["simulation.sky_jitter=0.25"], 256, 64, r"\(simulation.sky_jitter: [\d.]+, now 0.25\)"),
        ([], 255, 64, r"\(n_objects: 256, now 255\)"),
        ([], 256, 128, r"\(shard_objects: 64, now 128\)"),
        ([], 256, 64, r"already holds movies: these, and all of them; name a new folder or remove it"),
    ],
)
def test_another_set_is_refused_by_name(overrides: list[str], n: int, shard: int, words: str, whole: Path) -> None:
    before = contents(whole)
    with pytest.raises(OutputError, match=words):
        simulate_to(config(*overrides), "movies", n, whole, shard_objects=shard)
    assert contents(whole) == before


def test_another_version_of_the_software_is_refused(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    software = to_disk._software()
    monkeypatch.setattr(to_disk, "_software", lambda: {**software, "versions": {**software["versions"], "torch": "0.1"}})
    with pytest.raises(OutputError, match=r"versions.torch: .*, now 0.1"):
        simulate_to(config(), "movies", 256, whole, shard_objects=64)


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / to_disk.LOCK), pytest.raises(OutputError, match="another skyreel is simulating into it; wait"):
        simulate_to(config(), "movies", 64, tmp_path / "out")


@pytest.mark.parametrize("size", [0, 32, 100])
def test_a_shard_holds_whole_blocks(size: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"shard_objects: {size}; use a multiple of {BLOCK}"):
        simulate_to(config(), "movies", 64, tmp_path / "out", shard_objects=size)
    refused(skyreel("simulate", *SET, "output=o", "n_objects=4", f"++shard_objects={size}", cwd=tmp_path), f"shard_objects: {size}")


def test_a_shard_alone_says_how_to_make_it_again(tmp_path: Path) -> None:
    """Config (with what interpolations made of `magnitudes`), seed, part, versions and units."""
    simulate_to(config("magnitudes=wide", "seed=4"), "movies", 70, tmp_path / "out", shard_objects=64)
    file = MovieFile(tmp_path / "out" / "movies-asteroid-00001.arrow")
    own = file.metadata
    assert {"skyreel", "torch", "numpy", "galsim"} <= set(own["versions"])
    assert own["plugins"]
    made = simulate_movies(OmegaConf.create(own["config"]), own["split"], BLOCK * own["first_block"] + own["n_objects"])
    again = made.take(made.label == own["label"]).take(slice(BLOCK * own["first_block"], None))
    stored = file.take(np.arange(len(file)))
    np.testing.assert_array_equal(again.object_id, stored.object_id)
    np.testing.assert_array_equal(again.pad(99).pixels, stored.pad(99).pixels)


def test_the_manifest_lists_classes_counts_and_checksums(whole: Path) -> None:
    manifest = json.loads((whole / "movies.json").read_text())
    assert manifest["counts"] == {"non_variable": 256, "asteroid": 256}
    assert (manifest["state"], manifest["movies"], manifest["n_objects"]) == ("complete", 512, 256)
    assert set(manifest["shards"]) == {path.name for path in whole.glob("*.arrow")}
    for name, record in manifest["shards"].items():
        assert record["bytes"] == (whole / name).stat().st_size
    MovieFolder(whole).verify()

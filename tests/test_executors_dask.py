"""The executor on a Dask cluster of two processes, one of them with two threads: the same bytes, and every mishap by its name."""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from executor_pieces import deadly_at_three, most_together, noting_until_two, squared, threads_of, toys
from verb_runs import refused, skyreel

from skyreel.errors import ConfigError, OutputError, SimulationError
from skyreel.hydra_glue import compose
from skyreel.simulate import dask_pool
from skyreel.simulate.executors import executor, run_pieces, session
from skyreel.simulate.run import simulate_movies, simulate_to
from skyreel.simulate.streaming import MovieFeed

distributed = pytest.importorskip("distributed")
SET = ["source=[non_variable,asteroid]", "stamp.size=11"]
HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    # two threads for libraries, too: the pieces must not depend on them
    env = {"PYTHONPATH": HERE, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    workers = {k: {"cls": distributed.Nanny, "options": {"nthreads": k + 1, "env": env, "dashboard": False}} for k in range(2)}
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard": False, "dashboard_address": ":0", "host": "127.0.0.1", "port": 0}}
    with distributed.SpecCluster(workers, scheduler) as started:
        yield started


@pytest.fixture(scope="module")
def options(cluster: Any) -> Iterator[dict[str, Any]]:
    """Config group `executor` for the cluster, in a session for all tests."""
    found = {"name": "dask", "address": cluster.scheduler_address, "retries": 0}
    with session(found):
        yield found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of a set that was made in this process."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    simulate_to(compose("simulate", SET), "movies", 256, folder, shard_objects=64)
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ------------------------------------------------------------------------------------------------------- the same bytes


def test_the_same_movies_in_memory(options: dict[str, Any]) -> None:
    config = compose("simulate", SET)
    here, there = (simulate_movies(config, "movies", 320, options=chosen) for chosen in ({"name": "inprocess"}, options))
    np.testing.assert_array_equal(here.object_id, there.object_id)
    assert here.pad(99).pixels.tobytes() == there.pad(99).pixels.tobytes()


def test_the_same_movies_from_a_feed(options: dict[str, Any]) -> None:
    made = []
    for chosen in ({"name": "inprocess"}, options):
        with MovieFeed(compose("simulate", SET), "train", chosen) as feed:
            made.append(feed.take([0, 1, 6, 131]))
    assert made[0].pad(99).pixels.tobytes() == made[1].pad(99).pixels.tobytes()


def test_the_verb_on_a_cluster(options: dict[str, Any], tmp_path: Path) -> None:
    """Its shards hold the versions and the plugins too: all workers have the same."""
    args = ["simulate", "source=[non_variable]", "stamp.size=11", "n_objects=64"]
    for name, chosen in (("here", ["executor=inprocess"]), ("there", ["executor=dask", f"executor.address={options['address']}"])):
        done = skyreel(*args, f"output={name}", *chosen, cwd=tmp_path)
        assert (done.code, done.err) == (0, "")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


# --------------------------------------------------------------------------------------------------------- on the workers


def test_results_come_in_order(options: dict[str, Any]) -> None:
    ticks: list[int] = []
    assert run_pieces(squared, toys(150), options, ticks.append) == [k**2 for k in range(150)]
    assert ticks == [3] * 150


def test_a_piece_is_alone_in_its_process_and_on_one_thread(options: dict[str, Any]) -> None:
    with executor(options) as pool:
        assert sorted(pool._client.nthreads().values()) == [1, 2]
    assert max(run_pieces(most_together, toys(40), options, None)) == 1
    assert set(run_pieces(threads_of, toys(20), options, None)) == {(1, 1)}


@pytest.mark.parametrize("stop", ["error", "ctrl-c"])
def test_nothing_is_at_work_any_more_when_it_stops(stop: str, options: dict[str, Any], tmp_path: Path) -> None:
    def interrupt(n: int) -> None:
        raise KeyboardInterrupt

    work, tick, error = (toys(30), None, ValueError) if stop == "error" else (toys(30)[3:], interrupt, KeyboardInterrupt)
    with pytest.raises(error):
        run_pieces(partial(noting_until_two, str(tmp_path)), work, options, tick)
    found = contents(tmp_path)
    begun, ended = ({name.split("-")[1] for name in found if name.startswith(word)} for word in ("begun", "ended"))
    assert begun == ended
    assert len(begun) <= 6
    time.sleep(0.5)
    assert contents(tmp_path) == found
    assert run_pieces(squared, toys(3), options, None) == [0, 1, 4]


# --------------------------------------------------------------------------------------------------------- what is refused


def test_workers_with_other_software_are_refused(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    mine = dask_pool.software()
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    dask_pool.software.cache_clear()
    words = rf"worker tcp://.* has python {mine['python']} \(here 3.99.0\); install the same versions on all machines"
    try:
        with pytest.raises(SimulationError, match=words):
            run_pieces(squared, toys(1), options | {"retries": 1}, None)
    finally:
        dask_pool.software.cache_clear()
    monkeypatch.undo()
    other = json.dumps(mine | {"skyreel": "9.9", "plugin kilonova": "skyreel-kilonova 1.0"})
    with pytest.raises(
        SimulationError, match=rf"skyreel {mine['skyreel']} \(here 9.9\), plugin kilonova none \(here skyreel-kilonova 1.0\)"
    ):
        dask_pool.at_work("late", other, squared, (toys(1)[0],), {})


def test_a_folder_that_workers_do_not_share_is_refused(options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_pieces(squared, toys(2), options, None, folder=tmp_path) == [0, 1]
    assert list(tmp_path.iterdir()) == []
    with executor(options) as pool:
        monkeypatch.setattr(dask_pool, "sees", lambda folder, token: "it is not there")  # as on a machine of its own
        words = rf"^output={tmp_path}: worker tcp://.* cannot write there: it is not there; name a folder that all workers and this machine"
        with pytest.raises(OutputError, match=words):
            pool.require_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_worker_says_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").touch()
    assert dask_pool.sees(str(tmp_path), "token") == ""
    assert dask_pool.sees(str(tmp_path), "another") == "it is another folder there"
    assert dask_pool.sees(str(tmp_path / "none"), "token") == "it is not there"

    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    assert dask_pool.sees(str(tmp_path), "token") == "Read-only file system"


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("tcp://127.0.0.1:9", SimulationError, r"no Dask scheduler answers within 1 s; start one \(`dask scheduler`\) or correct"),
        ("tcp://127.0.0.1:port", ConfigError, r"executor.address=tcp://127.0.0.1:port: .*; give a scheduler's address as tcp://HOST:8786"),
        ("here", ConfigError, r"executor.address=here: missing port number.*tcp://HOST:8786"),
        ("tls://127.0.0.1:9", ConfigError, r"executor.address=tls://127.0.0.1:9: TLS .*needs executor.tls_ca"),
    ],
)
def test_an_address_where_no_scheduler_is(address: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        run_pieces(squared, toys(1), {"name": "dask", "address": address, "timeout": 1.0}, None)


def test_an_address_where_no_scheduler_is_on_the_command_line(tmp_path: Path) -> None:
    chosen = ["executor=dask", "executor.address=tcp://127.0.0.1:9", "executor.timeout=1"]
    refused(skyreel("simulate", *SET, "n_objects=64", "output=out", *chosen, cwd=tmp_path), "no Dask scheduler answers within 1 s")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_an_encrypted_cluster_answers_those_who_show_a_certificate(tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=skyreel", "-days", "2", "-keyout", key]
    subprocess.run([*make, "-out", certificate], check=True, capture_output=True)
    files = {"tls_ca_file": certificate, "tls_scheduler_cert": certificate, "tls_scheduler_key": key}
    security = distributed.Security(**files, tls_client_cert=certificate, tls_client_key=key, require_encryption=True)
    options = {"dashboard": False, "dashboard_address": ":0", "security": security, "host": "tls://127.0.0.1", "port": 0}
    scheduler = {"cls": distributed.Scheduler, "options": options}
    with distributed.SpecCluster({}, scheduler, security=security) as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        options = {"name": "dask", "address": cluster.scheduler_address, "timeout": 5.0, "wait": 0.2}
        own = {"tls_ca": certificate, "tls_cert": certificate, "tls_key": key}
        with pytest.raises(SimulationError, match=r"workers have not come within 0.2 s"):  # the scheduler itself was reached
            run_pieces(squared, toys(1), options | own, None)
        with pytest.raises(ConfigError, match=r"executor.address=tls://.*needs executor.tls_ca"):
            run_pieces(squared, toys(1), options, None)
        with pytest.raises(SimulationError, match=r"no Dask scheduler answers within 1 s"):
            run_pieces(squared, toys(1), options | {"address": options["address"].replace("tls", "tcp"), "timeout": 1.0}, None)


# ------------------------------------------------------------- lost workers: last, as each needs seconds to begin again


@pytest.mark.slow
def test_the_same_bytes_on_disk_though_a_worker_is_killed(options: dict[str, Any], whole: dict[str, bytes], tmp_path: Path) -> None:
    with executor(options) as pool:
        victims = set(pool._client.run(os.getpid).values())
    assert len(victims) == 2

    def kill_one(n: int) -> None:
        if len(victims) == 2:
            os.kill(victims.pop(), 9)

    simulate_to(compose("simulate", SET), "movies", 256, tmp_path / "out", shard_objects=64, options=options, tick=kill_one)
    assert len(victims) == 1
    visible = {name: data for name, data in contents(tmp_path / "out").items() if not name.startswith(".")}
    assert visible == whole


def test_a_piece_that_kills_every_worker_is_named(cluster: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    with pytest.raises(SimulationError, match=r"^simulating toy-3: 1 workers died while they were at it; check the memory of the workers"):
        run_pieces(deadly_at_three, toys(4), options, None)


# ------------------------------------------------------------------------------------------------- a cluster in trouble


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """A scheduler without workers, and the options that name it."""
    file = tmp_path / "scheduler.json"
    args = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1"]
    env = {**os.environ, "PYTHONPATH": HERE}
    with subprocess.Popen([*args, "--scheduler-file", str(file)], env=env, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        found = None
        while found is None and time.monotonic() < deadline:
            time.sleep(0.05)
            with contextlib.suppress(OSError, json.JSONDecodeError):
                found = json.loads(file.read_text())["address"]
        yield process, {"name": "dask", "address": found, "wait": 0.5, "timeout": 2.0}
        process.kill()


@pytest.mark.slow
def test_a_cluster_in_trouble(alone: tuple[subprocess.Popen[bytes], dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without workers, with one that lacks skyreel, with workers that left, and with a scheduler that is killed."""
    scheduler, options = alone
    with pytest.raises(SimulationError, match=r"workers have not come within 0.5 s; start workers \(`dask worker tcp://.*executor.wait"):
        run_pieces(squared, toys(1), options, None)

    bare = "import sys; sys.modules['skyreel'] = None; from distributed.cli.dask_worker import main; main()"
    args = [sys.executable, "-c", bare, options["address"], "--no-nanny", "--no-dashboard"]
    with subprocess.Popen(args, stderr=subprocess.DEVNULL) as worker:
        with pytest.raises(SimulationError, match=r"worker tcp://.*No module named 'skyreel.*; install skyreel and its plugins there"):
            run_pieces(squared, toys(1), options | {"wait": 60.0}, None)
        worker.kill()

    monkeypatch.setattr(dask_pool.DaskPool, "_wait_for_a_worker", lambda pool: None)
    with pytest.raises(SimulationError, match=r"workers have left, and none has come within 0.5 s; start workers"):
        run_pieces(squared, toys(1), options, None)

    killing = threading.Timer(1.0, scheduler.kill)
    killing.start()
    with pytest.raises(SimulationError, match=r"the connection to the scheduler tcp://.* was lost; look at its log, start it again"):
        run_pieces(squared, toys(1), options | {"wait": 60.0}, None)

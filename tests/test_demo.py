"""`make demo`: ends with a table and the path of a report, and says whether the scored movies are real."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from verb_runs import TINY

from skyreel.demo import main, real_movies

DEMO = [*TINY[1:], "source=[supernova,rr_lyrae,eclipsing_binary,non_variable]", "trainer.max_steps=3"]
"""Without the experiment, which the demo names itself."""


def demo(folder: Path, data: Path) -> str:
    environment = {**os.environ, "SKYREEL_TEST_DATA": str(data)}
    command = [sys.executable, "-m", "skyreel.demo", *DEMO]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def check(shown: str, verb: str) -> None:
    """A table, then the path of the report that the last verb left, then time and memory."""
    table, _, rest = shown.rpartition("\nReport: ")
    assert "mean recall" in table
    report = Path(rest.splitlines()[0])
    assert report.is_absolute()
    assert (report.name, report.parent.name) == ("report.html", verb)
    assert report.read_text().startswith("<!doctype html>")
    assert re.search(r"The demo took \d+ s and at most \d\.\d GB of memory", rest)
    assert float(re.findall(r"most (\d\.\d) GB", rest)[0]) < 4


def test_without_real_movies(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "here").mkdir()
    shown = demo(tmp_path / "here", tmp_path / "empty")
    assert "No real movies found (looked in SKYREEL_TEST_DATA and ../shared/data): the scores above are of simulated ones." in shown
    assert "Scores on simulated test set" in shown
    assert "dataset=hits2015a" not in shown
    check(shown, "train")


@pytest.mark.real_data
def test_with_real_movies(tmp_path: Path, data_dir: Path) -> None:
    shown = demo(tmp_path, data_dir)
    assert f"Real movies found in {data_dir / 'hits2015a'}: scoring the network on them. It has never seen a real label." in shown
    assert "Scores on hits2015a" in shown
    check(shown, "evaluate")


def test_where_real_movies_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("SKYREEL_TEST_DATA", raising=False)
    beside, named = tmp_path / "shared" / "data" / "hits2015a", tmp_path / "named" / "hits2015a"
    beside.mkdir(parents=True)
    assert real_movies() is None  # an empty folder is no data
    (beside / "conditions.ecsv").write_text("")
    assert real_movies() is not None
    named.mkdir(parents=True)
    (named / "conditions.ecsv").write_text("")
    monkeypatch.setenv("SKYREEL_TEST_DATA", str(tmp_path / "named"))
    assert real_movies() == named


def test_a_training_that_fails_ends_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["classifier=rccn"])
    assert stopped.value.code == 1
    shown = capfd.readouterr()
    assert "no classifier 'rccn'" in shown.err
    assert "Report:" not in shown.out

"""The distribution from outside: sdist, the wheel built from it, and every verb in a clean environment."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from verb_runs import NETWORK

import skyreel as checkout

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("core", "plugins", "surveys", "conf")

pytestmark = pytest.mark.install

WATCH = """
import sys

def watch(event, args):
    if event == "open" and str(args[0]).startswith(FOLDERS):
        with open(NOTES, "a") as notes:
            notes.write(f"{args[0]}\\n")

sys.addaudithook(watch)
"""
"""Put into the clean environment as sitecustomize: notes every file of the checkout that any of its processes opens."""


def files_of_the_checkout() -> dict[str, Path]:
    """What the wheel must carry: path inside it -> path here."""
    found = {}
    for root in SOURCES:
        for path in (ROOT / root).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                inner = path.relative_to(ROOT / root)
                found[str(Path("skyreel/conf") / inner if root == "conf" else inner)] = path
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel made from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


class Clean:
    """An environment with the wheel, its dependencies and nothing of the checkout; `work` is an empty folder."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        self.notes = folder / "opened.txt"
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
        self.bin = venv / ("Scripts" if os.name == "nt" else "bin")
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        ask = [str(self.python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        self.site = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
        # The .pth files of that folder are not read from here, so the editable skyreel stays out of sight.
        (self.site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        watched = tuple(str(ROOT / name) + os.sep for name in (*SOURCES, "tests", "examples"))
        (self.site / "sitecustomize.py").write_text(f"FOLDERS = {watched!r}\nNOTES = {str(self.notes)!r}\n{WATCH}")

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.bin / "python"

    def run(self, *command: str | Path) -> str:
        """What the command prints; it must succeed."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "SKYREEL_"))}
        environment = {**kept, "PYTHONNOUSERSITE": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(list(map(str, command)), cwd=self.work, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def skyreel(self, *args: str) -> str:
        """The console script."""
        return self.run(self.bin / "skyreel", *args)


@pytest.fixture(scope="module")
def clean(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Clean:
    return Clean(tmp_path_factory.mktemp("clean"), built["wheel"])


def test_the_wheel_is_the_source_roots_and_the_configs(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        wanted = files_of_the_checkout()
        assert names == set(wanted)
        tables = [name for name in names if name.endswith((".npz", ".json"))]
        assert len(tables) >= 5
        for name in ["skyreel/conf/train.yaml", "skyreel/conf/experiment/quickstart.yaml", "skyreel/py.typed", *tables]:
            assert wheel.read(name) == wanted[name].read_bytes()
        metadata = {Path(name).name for name in wheel.namelist() if ".dist-info/" in name}
    assert {"entry_points.txt", "LICENSE", "METADATA"} <= metadata
    assert built["wheel"].stat().st_size < 5e6


def test_the_sdist_holds_all_that_is_needed_to_go_on(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {str(path.relative_to(ROOT)) for path in files_of_the_checkout().values()} <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "Makefile", "tests/test_install.py"} <= names
    assert {"examples/skyreel-lsst/pyproject.toml", "examples/skyreel-kilonova/pyproject.toml"} <= names
    assert not [name for name in names if {"__pycache__", "runs", ".venv", ".git"} & set(Path(name).parts)]
    assert built["sdist"].stat().st_size < 10e6


def test_every_verb_runs_in_a_clean_environment(clean: Clean) -> None:
    place = clean.run(clean.python, "-c", "import skyreel, skyreel_rcnn; print(skyreel.__file__, skyreel_rcnn.__file__)")
    assert [str(clean.site) in path for path in place.split()] == [True, True]
    assert "usage: skyreel VERB" in clean.skyreel("--help")
    assert clean.skyreel("--version") == f"skyreel {checkout.__version__}\n"
    found = json.loads(clean.skyreel("plugins", "--json"))
    shipped = {"ccd", "forest", "galsim", "hits", "lightcurvelynx", "psf", "rcnn", "sncosmo", "sources"}
    assert {plugin["name"] for plugin in found["plugins"]} == shipped
    assert (found["broken"], found["clashes"]) == ([], [])

    chosen = "source=[supernova,non_variable,asteroid]"
    clean.skyreel("simulate", chosen, "n_objects=6", "output=movies", "executor=processes", "executor.workers=2")
    assert len(list((clean.work / "movies").glob("*.arrow"))) == 3
    sizes = ["n_objects=24", "n_valid=8", "n_test=8", "trainer.batch_size=16", "trainer.max_steps=3"]
    clean.skyreel("train", "experiment=quickstart", chosen, *sizes, *NETWORK, "executor=inprocess", "hydra.run.dir=run")
    record = json.loads((clean.work / "run" / "run.json").read_text())
    assert record["git_commit"] is None
    assert record["versions"]["skyreel"] == checkout.__version__
    clean.skyreel("classify", "model=run", "input=movies", "output=p.parquet")
    assert len(set(pq.read_table(clean.work / "p.parquet")["object_id"].to_pylist())) == 18
    scores = clean.skyreel("evaluate", "model=run", "input=movies", "controls=false", "also=[]", "hydra.run.dir=scored")
    assert "mean recall" in scores
    for run in ("run", "scored"):
        assert json.loads((clean.work / run / "metrics.json").read_text())["by_n_images"]
        assert (clean.work / run / "report.html").stat().st_size > 10_000
    assert not clean.notes.exists(), f"files of the checkout were opened: {clean.notes.read_text()[:500]}"


def test_the_watch_sees_the_checkout(clean: Clean) -> None:
    """The proof above would be empty if the watch were blind."""
    clean.run(clean.python, "-c", f"open({str(ROOT / 'core' / 'skyreel' / 'cli.py')!r}).close()")
    assert clean.notes.read_text() == f"{ROOT / 'core' / 'skyreel' / 'cli.py'}\n"
    clean.notes.unlink()

"""The command line in processes of its own: exit codes, one-line errors, light start, sweeps, completion, outside plugins."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skyreel.cli import main

VERB = """
import json, os
from skyreel.errors import ConfigError, Interrupted

def run(config, run_dir):
    print("ran", config.seed, run_dir.name)
    (run_dir / "seen.json").write_text(json.dumps({"seed": config.seed, "pid": os.getpid()}))
    if config.n_objects == 13:
        raise ConfigError("n_objects", "13", "choose another\\nnumber")
    if config.n_objects == 14:
        raise KeyboardInterrupt
    if config.n_objects == 15:
        raise Interrupted("stopped", "after 5 steps", "go on with resume=RUN")
    if config.n_objects == 16:
        raise RuntimeError("a bug")
    return config.seed
"""


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`train` is a probe in this process, and runs land in tmp_path."""
    import skyreel.verbs

    (tmp_path / "probe").mkdir()
    (tmp_path / "probe" / "train.py").write_text(VERB)
    monkeypatch.setattr(skyreel.verbs, "__path__", [str(tmp_path / "probe"), *skyreel.verbs.__path__])
    monkeypatch.delitem(sys.modules, "skyreel.verbs.train", raising=False)
    monkeypatch.delattr(skyreel.verbs, "train", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("skyreel.verbs.train", None)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """`train` is a probe; worker processes see it too, because sitecustomize puts it there in every interpreter."""
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe" / "train.py").write_text(VERB)
    (tmp_path / "sitecustomize.py").write_text(f"import skyreel.verbs\nskyreel.verbs.__path__.insert(0, {str(tmp_path / 'probe')!r})\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def skyreel(*args: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "skyreel.cli", *args], capture_output=True, text=True, cwd=cwd, env=env, check=False)


def install(folder: Path, name: str, code: str) -> None:
    (folder / f"skyreel_{name}.py").write_text(code)
    info = folder / f"skyreel_{name}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: skyreel-{name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[skyreel]\n{name} = skyreel_{name}\n")


# ---------------------------------------------------------------------------------------------- light start


@pytest.mark.parametrize("args", [["--help"], ["--version"], []])
def test_help_and_version_import_nothing_heavy(args: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from skyreel.cli import main; code = main(sys.argv[1:]); "
        "print(code, *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, cwd=tmp_path, check=True)
    exit_code, *modules = done.stderr.split()
    assert exit_code == "0"
    heavy = {"torch", "numpy", "scipy", "astropy", "galsim", "sklearn", "matplotlib", "pyarrow", "pytorch_lightning", "rich", "hydra"}
    assert not heavy & set(modules)
    assert not [name for name in modules if name.startswith("skyreel_")], "help must not load plugins"
    assert "skyreel" in done.stdout


@pytest.mark.parametrize("module", ["skyreel", "skyreel.plugin", "skyreel.registry", "skyreel.hookspecs", "skyreel.errors", "skyreel.cli"])
def test_the_house_imports_no_numpy(module: str) -> None:
    code = f"import {module}, sys; print([name for name in ('numpy', 'torch', 'hydra', 'omegaconf') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_names_every_verb(tmp_path: Path) -> None:
    done = skyreel("--help", cwd=tmp_path)
    assert all(
        verb in done.stdout
        for verb in (
            "simulate",
            "train",
            "classify",
            "evaluate",
            "finetune",
            "export",
            "realism",
            "gallery",
            "import",
            "compare",
            "data",
            "plugins",
        )
    )


def test_the_version_is_the_distributions(tmp_path: Path) -> None:
    from importlib.metadata import version

    import skyreel as package

    assert skyreel("--version", cwd=tmp_path).stdout == f"skyreel {version('skyreel')}\n"
    assert package.__version__ == version("skyreel")


# ------------------------------------------------------------------------------------------------ run verbs


def test_a_run_verb_runs_in_a_folder_of_its_own(tmp_path: Path, environment: dict[str, str]) -> None:
    done = skyreel("train", "seed=5", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "train").iterdir()
    assert f"ran 5 {folder.name}" in done.stdout
    assert json.loads((folder / "seen.json").read_text())["seed"] == 5
    assert (folder / ".hydra" / "overrides.yaml").read_text() == "- seed=5\n"


@pytest.mark.parametrize(
    ("override", "code", "line"),
    [
        ("n_objects=13", 1, "skyreel: n_objects: 13; choose another number"),
        ("n_objects=14", 130, "skyreel: interrupted"),
        ("n_objects=15", 130, "skyreel: stopped: after 5 steps; go on with resume=RUN"),
        ("n_objcets=1", 1, None),
        ("survey=hist", 1, None),
        ("seed=[", 1, None),
    ],
)
@pytest.mark.usefixtures("probe")
def test_an_error_is_one_line(override: str, code: int, line: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = list(sys.argv)
    assert main(["train", override]) == code
    (found,) = capsys.readouterr().err.splitlines()
    assert found.startswith("skyreel: ")
    assert line in (None, found)
    assert sys.argv == arguments
    assert "HYDRA_FULL_ERROR" not in os.environ


def test_the_exit_code_reaches_the_shell(tmp_path: Path, environment: dict[str, str]) -> None:
    done = skyreel("train", "n_objects=13", cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert done.stderr == "skyreel: n_objects: 13; choose another number\n"


def test_a_bug_keeps_its_traceback(tmp_path: Path, environment: dict[str, str]) -> None:
    done = skyreel("train", "n_objects=16", cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.rstrip().endswith("RuntimeError: a bug")


def test_an_unknown_verb_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    found = capsys.readouterr().err
    verbs = "simulate, train, classify, evaluate, finetune, export, realism, gallery, import, compare, data, plugins"
    assert found == f"skyreel: no verb 'trian'; have {verbs}; did you mean 'train'?\n"


@pytest.mark.usefixtures("probe")
def test_cfg_job_prints_the_config_and_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from omegaconf import OmegaConf

    from skyreel.hydra_glue import compose

    assert main(["train", "classifier=rcnn_small", "--cfg", "job"]) == 0
    assert OmegaConf.create(capsys.readouterr().out) == compose("train", ["classifier=rcnn_small"])
    assert not (tmp_path / "runs").exists()


def test_help_of_a_run_verb_shows_the_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: skyreel evaluate" in shown
    assert "trainer: default, finetune, quick" in shown
    assert len(shown.splitlines()) < 40


# --------------------------------------------------------------------------------------------------- sweeps


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_goes_on_after_a_job_that_fails(launcher: str, tmp_path: Path, environment: dict[str, str]) -> None:
    workers = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    args = ["train", "-m", "n_objects=13,1,2", "seed=8", f"hydra/launcher={launcher}", *workers]
    done = skyreel(*args, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "skyreel: n_objects: 13; choose another number" in done.stderr.splitlines()
    (sweep,) = (tmp_path / "runs" / "train").iterdir()
    seen = {folder.name: json.loads((folder / "seen.json").read_text()) for folder in sweep.iterdir() if folder.is_dir()}
    assert set(seen) == {"0", "1", "2"}
    assert {found["seed"] for found in seen.values()} == {8}


def test_a_sweep_over_an_unknown_choice_starts_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    done = skyreel("train", "-m", "trainer=quick,quikc", cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert "did you mean 'quick'" in done.stderr
    assert "ran" not in done.stdout


# ----------------------------------------------------------------------------------------------- completion


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("skyreel tr", {"train"}),
        (
            "skyreel ",
            {
                "simulate",
                "train",
                "classify",
                "evaluate",
                "finetune",
                "export",
                "realism",
                "gallery",
                "import",
                "compare",
                "data",
                "plugins",
            },
        ),
        ("skyreel train classifier=rcnn_", {"classifier=rcnn_small", "classifier=rcnn_tiny"}),
        ("skyreel evaluate trainer.max_", {"trainer.max_steps="}),
        ("skyreel plugins ", set()),
    ],
)
def test_completion(line: str, words: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert main(["-sc", "query=bash"]) == 0
    assert set(capsys.readouterr().out.split()) == words


def test_completion_can_be_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-sc", "install=bash"]) == 0
    assert "-sc query=bash" in capsys.readouterr().out
    assert main(["-sc"]) == 2


# ------------------------------------------------------------------------------------------ outside plugins

LIGHT = {"SKYREEL_DISABLE": "rcnn,galsim"}
"""Without the plugins whose libraries take seconds to import."""

OUTSIDE = """
from dataclasses import dataclass, field
from skyreel import Component, hookimpl
from skyreel.interfaces import LightCurve, Source

@dataclass
class Kilonova(Source):
    peak: float = field(default=20.0, metadata={"unit": "mag"})
    decay: float = field(default=1.5, metadata={"unit": "d"})
    triggers = True

    def sample(self, n, rng, *, window=None):
        return {}

    def light_curve(self, params, mjd, band):
        return LightCurve(mjd)

@hookimpl
def skyreel_sources():
    return [Component("kilonova", Kilonova, "fast red transient")]
"""


def test_a_class_without_yaml_has_its_options(tmp_path: Path) -> None:
    install(tmp_path, "kilonova", OUTSIDE)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = skyreel("train", "+source=kilonova", "source.kilonova.peak=19", "--cfg", "job", "-p", "source", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.split("kilonova:\n")[1].split() == ["name:", "kilonova", "peak:", "19", "decay:", "1.5"]
    assert "asteroid:" in done.stdout
    done = skyreel("train", "+source=kilonova", "source.kilonova.decya=2", "--cfg", "job", cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert "source 'kilonova' has no option 'decya'" in done.stderr
    assert "did you mean 'decay'" in done.stderr


def test_plugins_shows_options_with_units(tmp_path: Path) -> None:
    install(tmp_path, "kilonova", OUTSIDE)
    done = skyreel("plugins", cwd=tmp_path, env={**os.environ, **LIGHT, "PYTHONPATH": str(tmp_path)})
    assert "kilonova (skyreel-kilonova 0.1)" in done.stdout
    assert "peak: float = 20.0 [mag]" in done.stdout
    assert "hits (skyreel " in done.stdout


def test_plugins_succeeds_on_the_built_ins(tmp_path: Path) -> None:
    done = skyreel("plugins", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (found["broken"], found["clashes"], done.returncode) == ([], [], 0)
    every = [component for plugin in found["plugins"] for component in plugin["components"]]
    assert {component["kind"] for component in every} == {"survey", "source", "psf", "host", "detector", "classifier"}
    assert all(component["summary"] for component in every)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_module_xyz", "plugin 'other' left out: skyreel-other 0.1: ModuleNotFoundError"),
        (OUTSIDE.replace("kilonova", "supernova"), "source 'supernova' is offered by plugins 'other' and 'sources'"),
        (OUTSIDE.replace("kilonova", "nova").replace("Kilonova,", "'no_such_module_xyz:Nova',"), "'nova' from 'no_such_module_xyz:Nova'"),
    ],
)
def test_plugins_fails_on_broken_ones_and_clashes(code: str, message: str, tmp_path: Path) -> None:
    install(tmp_path, "other", code)
    environment = {**os.environ, **LIGHT, "PYTHONPATH": str(tmp_path)}
    done = skyreel("plugins", "--json", cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert message in done.stderr
    assert "hits" in {plugin["name"] for plugin in json.loads(done.stdout)["plugins"]}


def test_plugins_refuses_unknown_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["plugins", "--jsno"])
    assert stopped.value.code == 2
    assert "usage: skyreel plugins" in capsys.readouterr().err


def test_a_broken_plugin_breaks_no_run(tmp_path: Path) -> None:
    install(tmp_path, "other", "import no_such_module_xyz")
    done = skyreel("train", "--cfg", "job", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = ["bash", "-c", f"'{sys.executable}' -m skyreel.cli plugins | true"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **LIGHT}, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr

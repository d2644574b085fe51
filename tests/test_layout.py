"""The repository's shape: source roots, installed entry points, configs that agree with their dataclasses."""

import dataclasses
import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from skyreel.hydra_glue import compose
from skyreel.interfaces import CLASSES, TrainerOptions
from skyreel.preprocessing import SequenceOptions
from skyreel.registry import typed

ROOT = Path(__file__).resolve().parents[1]
SOURCE_ROOTS = ("core", "plugins", "surveys")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_installed_entry_points_are_current() -> None:
    table = PYPROJECT["project"]["entry-points"]["skyreel"]
    installed = {point.name: point.value for point in entry_points(group="skyreel")}
    assert table.items() <= installed.items(), "run `make install` again"


def test_nobody_imports_the_folders() -> None:
    bad = re.compile(r"^\s*(from|import) (core|plugins|surveys|conf)\b", re.M)
    files = [path for folder in (*SOURCE_ROOTS, "tests") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 20
    assert not [path for path in files if bad.search(path.read_text())]


def test_source_roots_hold_only_packages_of_ours() -> None:
    names = [path.name for folder in SOURCE_ROOTS for path in (ROOT / folder).iterdir()]
    assert all(name.startswith("skyreel") for name in names), "anything else becomes a top-level import name"


def test_tests_is_no_package() -> None:
    assert not (ROOT / "tests" / "__init__.py").exists()


def test_every_package_is_typed_and_layered() -> None:
    packages = [path for folder in SOURCE_ROOTS for path in (ROOT / folder).iterdir() if path.is_dir()]
    assert not [path for path in packages if not (path / "py.typed").is_file()]
    assert {path.name for path in packages} == set(PYPROJECT["tool"]["importlinter"]["root_packages"])


def test_the_wheel_carries_the_configs() -> None:
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"]["conf"] == "skyreel/conf"
    assert "conf" in wheel["only-include"]


def test_the_default_classes_are_the_papers_seven_in_order() -> None:
    assert tuple(compose("simulate").source) == CLASSES


@pytest.mark.parametrize(("group", "cls"), [("trainer", TrainerOptions), ("sequence", SequenceOptions)])
def test_option_groups_show_every_field(group: str, cls: type) -> None:
    for choice in sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml")):
        config = compose("train", [f"{group}={choice}"])[group]
        assert set(config) == {field.name for field in dataclasses.fields(cls)}, f"{group}/{choice}.yaml"
        typed(cls, config, group)


def test_the_default_trainer_is_the_papers() -> None:
    assert typed(TrainerOptions, compose("train").trainer, "trainer") == TrainerOptions()


def test_no_registry_address_is_written_down() -> None:
    files = [ROOT / name for name in ("Makefile", "pyproject.toml", ".pre-commit-config.yaml", ".ci/run")]
    found = [path.name for path in files if re.search(r"index-url|pypi\.org|https?://", path.read_text())]
    assert not found

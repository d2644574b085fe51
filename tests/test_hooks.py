"""Every hook is documented and every hook has a test here."""

from pathlib import Path
from types import ModuleType

import pytest

from skyreel import Component, hookimpl, hookspecs
from skyreel.plugin import Plugins
from skyreel.registry import KINDS

ROOT = Path(__file__).resolve().parents[1]
HOOKS = [name for name in vars(hookspecs) if name.startswith("skyreel_")]


def offered(kind: str, hook: str) -> list[Component]:
    made = ModuleType("made_here")
    setattr(made, hook, hookimpl(lambda: iter([Component("b_thing", "m:C", "what it is"), Component("a_thing", "m:C")])))
    manager = Plugins()
    manager.add(made, "maker")
    others = [other for other in KINDS if other != kind and manager.registry.of(other)]
    assert not others
    return manager.registry.of(kind)


def check(kind: str, hook: str) -> None:
    first, second = offered(kind, hook)
    assert (first.name, second.name) == ("a_thing", "b_thing")
    assert second == Component("b_thing", "m:C", "what it is")
    assert second.plugin == "maker"


def test_skyreel_surveys() -> None:
    check("survey", "skyreel_surveys")


def test_skyreel_sources() -> None:
    check("source", "skyreel_sources")


def test_skyreel_psfs() -> None:
    check("psf", "skyreel_psfs")


def test_skyreel_hosts() -> None:
    check("host", "skyreel_hosts")


def test_skyreel_detectors() -> None:
    check("detector", "skyreel_detectors")


def test_skyreel_classifiers() -> None:
    check("classifier", "skyreel_classifiers")


def test_skyreel_config_paths(tmp_path: Path) -> None:
    made = ModuleType("made_here")
    made.skyreel_config_paths = hookimpl(lambda: [tmp_path, str(tmp_path)])  # type: ignore[attr-defined]
    manager = Plugins()
    manager.add(made, "maker")
    assert manager.config_paths == [("maker", tmp_path.resolve())] * 2


def test_every_hook_is_a_kind_or_the_config_paths() -> None:
    assert sorted(HOOKS) == sorted([kind.hook for kind in KINDS.values()] + ["skyreel_config_paths"])


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    assert len((getattr(hookspecs, hook).__doc__ or "").split()) > 5
    assert f"### `{hook}" in (ROOT / "docs" / "plugins.md").read_text()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test(hook: str) -> None:
    assert f"test_{hook}" in globals()

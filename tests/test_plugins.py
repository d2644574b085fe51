"""Loading plugins: a broken one is left out and named, the rest work."""

import importlib
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from skyreel import Component, hookimpl
from skyreel.errors import PluginError
from skyreel.plugin import Plugins, conf_dir, plugins

HITS = EntryPoint("hits", "skyreel_hits", "skyreel")
BAD = EntryPoint("bad", "no_such_module_xyz", "skyreel")


def module(**hooks: object) -> ModuleType:
    made = ModuleType("made_here")
    for name, returned in hooks.items():
        setattr(made, name, hookimpl(lambda returned=returned: returned))
    return made


def test_the_built_ins_load_through_entry_points() -> None:
    manager = plugins()
    assert {"ccd", "galsim", "hits", "psf", "rcnn", "sources"} <= set(manager.origin)
    assert manager.failures == {}
    assert manager.registry.clashes() == []
    assert manager.config_clashes() == []


def test_a_broken_plugin_leaves_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    manager = Plugins()
    manager.load([BAD, HITS])
    assert list(manager.origin) == ["hits"]
    assert manager.registry.get("survey", "hits").plugin == "hits"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("skyreel: plugin 'bad' left out: ")
    assert "no_such_module_xyz" in lines[0]
    with pytest.raises(PluginError, match="plugin 'bad' did not load"):
        manager.registry.get("survey", "bad")


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "raise RuntimeError('two\\nlines')", "def f(:"])
def test_whatever_an_import_raises(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raises_at_import.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "raises_at_import", raising=False)
    importlib.invalidate_caches()
    manager = Plugins()
    manager.load([EntryPoint("rude", "raises_at_import", "skyreel"), HITS])
    assert list(manager.origin) == ["hits"]
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_strict_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYREEL_STRICT", "1")
    with pytest.raises(PluginError, match="plugin 'bad'.*no_such_module_xyz.*unset SKYREEL_STRICT"):
        Plugins().load([BAD, HITS])


def test_disable_leaves_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SKYREEL_DISABLE", "bad,hist")
    manager = Plugins()
    manager.load([BAD, HITS])
    assert list(manager.origin) == ["hits"]
    assert manager.failures == {}
    assert capsys.readouterr().err == "skyreel: SKYREEL_DISABLE names 'hist', no such plugin; did you mean 'hits'?\n"


def test_two_plugins_of_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    manager = Plugins()
    manager.load([HITS, EntryPoint("hits", "skyreel_psf", "skyreel")])
    assert "name already taken" in manager.failures["hits"]
    assert manager.registry.of("psf") == []
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_misspelt_hook_names_the_right_one() -> None:
    with pytest.raises(PluginError, match="plugin 'p': unknown hook skyreel_survey.*did you mean 'skyreel_surveys'"):
        Plugins().add(module(skyreel_survey=[]), "p")


def test_a_hook_without_its_mark() -> None:
    made = ModuleType("made_here")
    made.skyreel_surveys = list  # type: ignore[attr-defined]
    with pytest.raises(PluginError, match="plugin 'p': skyreel_surveys: lacks its mark; decorate it with @skyreel.hookimpl"):
        Plugins().add(made, "p")


@pytest.mark.parametrize(
    "hooks",
    [
        {"skyreel_sources": [Component("star", "m:C")], "skyreel_surveys": {"a": 1}},
        {"skyreel_sources": [Component("star", "m:C")], "skyreel_config_paths": [Path("no/such/folder")]},
        {"skyreel_sources": [Component("star", "m:C")], "skyreel_config_paths": "/"},
    ],
)
def test_a_wrong_answer_registers_nothing(hooks: dict[str, object]) -> None:
    manager = Plugins()
    with pytest.raises(PluginError, match=r"plugin 'p': skyreel_\w+\(\)"):
        manager.add(module(**hooks), "p")
    assert not manager.has_plugin("p")
    assert manager.registry.of("source") == []
    manager.add(module(skyreel_sources=[Component("star", "m:C")]), "p")
    assert [item.name for item in manager.registry.of("source")] == ["star"]


def test_a_hook_that_takes_arguments() -> None:
    made = ModuleType("made_here")
    made.skyreel_surveys = hookimpl(lambda surveys: [])  # type: ignore[attr-defined]
    manager = Plugins()
    with pytest.raises(Exception, match="skyreel_surveys"):
        manager.add(made, "p")
    assert not manager.has_plugin("p")


def test_a_name_offered_twice_fails_only_when_asked_for() -> None:
    manager = Plugins()
    for name in ("a", "b"):
        manager.add(module(skyreel_surveys=[Component("lsst", "m:C"), Component(f"only_{name}", "m:C")]), name)
    assert manager.registry.get("survey", "only_a").plugin == "a"
    with pytest.raises(PluginError, match="survey 'lsst' is offered by plugins 'a' and 'b'.*SKYREEL_DISABLE=b"):
        manager.registry.get("survey", "lsst")
    assert len(manager.registry.clashes()) == 1


def test_one_config_file_in_two_places(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "survey").mkdir(parents=True)
        (tmp_path / name / "survey" / "mine.yaml").write_text("name: mine\n")
    (tmp_path / "b" / "trainer").mkdir()
    (tmp_path / "b" / "trainer" / "default.yaml").write_text("max_steps: 1\n")
    manager = Plugins()
    for name in ("a", "b"):
        manager.add(module(skyreel_config_paths=[tmp_path / name]), name)
    survey, trainer = sorted(manager.config_clashes())
    assert "survey/mine.yaml is in plugin 'a' and plugin 'b'" in survey
    assert "trainer/default.yaml is in skyreel's own conf/ and plugin 'b'" in trainer


def test_the_configs_are_found() -> None:
    assert (conf_dir() / "train.yaml").is_file()

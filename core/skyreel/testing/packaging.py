"""Checks that hold for every component: light import, a config that shows every option, survival of pickling."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from skyreel.plugin import plugins
from skyreel.registry import Component

HEAVY = ("torch", "pytorch_lightning", "galsim", "astropy", "scipy", "sklearn", "matplotlib")
"""Libraries that a plugin may use but must not import together with itself."""


@contextmanager
def must_raise(error: type[Exception], asked: str) -> Iterator[None]:
    """Asserts that the body raises `error`; `asked` says what it did."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"{asked} raises no {error.__name__}")


def check_light(module: str) -> None:
    """Importing the plugin's module must not import heavy libraries: name targets as 'module:Class'."""
    code = f"import {module}, sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"importing {module} alone fails: {done.stderr.strip()}"
    assert not done.stdout.split(), f"importing {module} imports {', '.join(done.stdout.split())}; name classes as 'module:Class'"


def check_options(kind: str, item: Component) -> None:
    """Every field of the class has a default, so that the component can be built from its name alone."""
    cls = plugins().registry.load(kind, item.name)
    required = [
        field.name
        for field in dataclasses.fields(cls)
        if field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    assert not required, f"options without a default: {', '.join(required)}"
    plugins().registry.create(kind, {"name": item.name})


def check_config(kind: str, item: Component) -> None:
    """The config `kind`/`name` composes, names the component and shows every option at the class's default."""
    from skyreel.hydra_glue import compose

    choice = f"source=[{item.name}]" if kind == "source" else f"{kind}={item.name}"
    config = compose("simulate", [choice])
    group = config.source[item.name] if kind == "source" else config[kind]
    where = f"config {kind}/{item.name}.yaml"
    assert group.name == item.name, f"{where} says name: {group.name}"
    registry = plugins().registry
    from_config = dataclasses.asdict(registry.create(kind, group))
    default = dataclasses.asdict(registry.create(kind, {"name": item.name}))
    hidden = set(default) - set(group)
    assert not hidden, f"{where} does not show {', '.join(sorted(hidden))}"
    other = {key: (from_config[key], default[key]) for key in default if from_config[key] != default[key]}
    assert not other, f"{where} differs from the class's defaults (config, class): {other}"


def check_pickle(kind: str, item: Component) -> None:
    """A component survives pickling with its options: worker processes and launchers send it."""
    made: Any = plugins().registry.create(kind, {"name": item.name})
    again = pickle.loads(pickle.dumps(made))
    assert dataclasses.asdict(again) == dataclasses.asdict(made), "options change in pickling"


GENERAL: dict[str, Callable[[str, Component], None]] = {"options": check_options, "config": check_config, "pickle": check_pickle}
"""Label -> check(kind, component)."""

"""The built-in plugins pass the kit that outside plugins run."""

import importlib.util
from collections.abc import Iterator

import pytest

from skyreel.plugin import plugins
from skyreel.testing import CHECKS, Check, checks

OPTIONAL = {"lightcurvelynx": "lightcurvelynx", "sncosmo": "sncosmo"}
"""Plugins and the library of their extra: their components cannot be made without it."""
NEEDS_A_FILE = {f"survey-lightcurvelynx-{label}" for label in CHECKS["survey"]}
"""Run in test_lightcurvelynx_survey.py with a table of visits."""


def found() -> Iterator[object]:
    for name in plugins().origin:
        absent = name in OPTIONAL and importlib.util.find_spec(OPTIONAL[name]) is None
        for label, check in checks(name):
            marks = [pytest.mark.skip(f"{OPTIONAL[name]} is not installed")] if absent and label != "light" else []
            if label not in NEEDS_A_FILE:
                yield pytest.param(check, id=f"{name}-{label}", marks=marks)


@pytest.mark.parametrize("check", list(found()))
def test_builtin(check: Check) -> None:
    check()

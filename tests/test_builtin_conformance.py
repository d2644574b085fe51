"""The built-in plugins pass the kit that outside plugins run."""

import pytest

from skyreel.plugin import plugins
from skyreel.testing import Check, checks


@pytest.mark.parametrize("check", [pytest.param(c, id=f"{name}-{label}") for name in plugins().origin for label, c in checks(name)])
def test_builtin(check: Check) -> None:
    check()

"""README and docs: their commands compose, their Python runs."""

import re
import shlex
from pathlib import Path

import pytest

from skyreel.cli import PLAIN_VERBS, RUN_VERBS
from skyreel.hydra_glue import compose

ROOT = Path(__file__).parents[1]
OUTSIDE = ("lsst", "kilonova", "launcher")
"""Named by commands that need an outside package; the tests of the examples and of the sweeps run those."""


def commands(page: str) -> list[str]:
    """Lines of the page's shell blocks that call skyreel, comments cut off, continued lines joined."""
    blocks = re.findall(r"^```(?:bash)?\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.startswith("skyreel ")]


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)


@pytest.mark.parametrize("page", ["README.md", "docs/sweeps.md"])
def test_commands_compose(page: str) -> None:
    found = commands(page)
    assert found
    for command in found:
        _, verb, *words = shlex.split(command)
        assert verb in {*RUN_VERBS, *PLAIN_VERBS}, command
        if verb in PLAIN_VERBS or any(word in command for word in OUTSIDE):
            continue
        overrides = [word for word in words if "=" in word]
        if "-m" in words:  # the first point of a sweep
            overrides = [re.sub(r"=([^\[,]+),.*", r"=\1", word) for word in overrides]
        compose(verb, overrides)


def test_the_python_of_the_readme_runs() -> None:
    code, *plugins = python_blocks("README.md")
    # The two plugins are those of the docs, which test_docs_snippets.py runs.
    assert plugins == [python_blocks(f"docs/your_own_{name}.md")[0] for name in ("survey", "class")]
    names: dict[str, object] = {}
    exec(code, names)
    movies = names["movies"]
    assert movies.pixels.shape[2:] == (1, 21, 21)  # type: ignore[attr-defined]
    assert sorted(set(movies.label)) == ["asteroid", "supernova"]  # type: ignore[attr-defined]
    assert len(movies) == 128  # type: ignore[arg-type]

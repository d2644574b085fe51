"""The notebooks under examples/: executed, in step with their script, without a path of a machine."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = [("simulate_and_look", "LOOK"), ("train_and_classify", "TRAIN"), ("classify_your_own_cutouts", "CUTOUTS")]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_notebooks", EXAMPLES / "make_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "cells"), NOTEBOOKS)
def test_notebook_is_what_the_script_executed(name: str, cells: str, script: ModuleType) -> None:
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text())
    assert ["".join(cell["source"]) for cell in notebook["cells"]] == getattr(script, cells)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    outputs = [item for cell in code for item in cell["outputs"]]
    assert any("image/png" in item.get("data", {}) for item in outputs)
    assert not [item for item in outputs if item["output_type"] == "error"]
    text = json.dumps([item for item in outputs if "text" in item])
    assert not re.search(r"/(home|tmp|root|work)/", text)


@pytest.mark.parametrize("cells", [pytest.param("LOOK", marks=pytest.mark.slow), pytest.param("TRAIN", marks=pytest.mark.slow), "CUTOUTS"])
def test_notebook_runs(cells: str, script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "HERE", tmp_path)
    script.write("out.ipynb", getattr(script, cells))
    assert (tmp_path / "out.ipynb").is_file()

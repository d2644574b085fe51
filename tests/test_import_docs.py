"""docs/your_own_data.md says what the code does."""

import re
from pathlib import Path

from skyreel.exchange.exporting import FORMATS
from skyreel.exchange.quantities import CONDITIONS, TABLE_ONLY
from skyreel.movie_files import MovieFolder
from skyreel.verbs.import_movies import _parser

PAGE = (Path(__file__).parents[1] / "docs" / "your_own_data.md").read_text()


def test_every_name_unit_and_keyword_is_listed():
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    for item in CONDITIONS.values():
        named = [row for row in rows if f"`{item.name}`" in row]
        row = next((row for row in named if f"`{item.name}`" in row.split("|")[1]), named[0])
        missing = [word for word in item.keywords if not re.search(rf"\b{word}\b", row)]
        assert not missing, f"{item.name}: {missing}"
        if row.startswith(f"| `{item.name}`") and item.unit:
            assert f"| {item.unit} |" in row
    assert not [name for name in TABLE_ONLY if f"`{name}`" not in PAGE]
    assert not [name for name in FORMATS if f"| `{name}` |" not in PAGE]


def test_options_on_the_page_exist():
    known = {word for action in _parser()._actions for word in action.option_strings}
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= known


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"^```python\n(.*?)^```", PAGE, re.S | re.M)[1]
    exec(compile(code, "your_own_data.md", "exec"), {})
    assert capsys.readouterr().out.strip() == "3 movies; ['read_noise', 'sky', 'limiting_mag']"
    movies = MovieFolder(tmp_path / "movies").take(slice(None))
    assert movies.pixels.shape == (3, 5, 1, 21, 21)
    assert movies.object_id.tolist() == ["0", "1", "2"]

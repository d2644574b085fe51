"""The check of reports finds what it is for; with Chromium at hand, also what only a browser shows."""

import base64
import io
from pathlib import Path

import pytest
import report_check
from matplotlib.figure import Figure
from matplotlib.image import imread

from skyreel.evaluate import page

needs_browser = pytest.mark.skipif(report_check.find_browser() is None, reason="no Chromium in PATH")


def picture() -> bytes:
    figure = Figure(figsize=(2, 1), facecolor="white")
    figure.add_subplot().plot([0, 1], [1, 0])
    return page.png_bytes(figure, 50)


def written(folder: Path, *parts: str, name: str = "report.html") -> Path:
    good = page.figure_html(picture(), "a falling line", "A line & its caption", "line")
    path = folder / name
    path.write_text(page.document("a <title>", ['<h1 id="top">x</h1>', good, *parts]), encoding="utf-8")
    return path


def test_a_good_page_has_no_problem(tmp_path):
    path = written(tmp_path, '<a href="#top">up</a>', page.list_html(["a < b"]), page.pairs_html({"x": 1}), page.tiles_html({"n": "5"}))
    assert report_check.problems_of(path) == []
    assert "A line &amp; its caption" in path.read_text()


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ('<img alt="x" src="https://example.org/x.png">', "loads https://example.org/x.png"),
        ('<img alt="x" src="//example.org/x.png">', "loads //example.org/x.png"),
        ('<a href="other.html">x</a>', "loads other.html"),
        ('<a href="#nowhere">x</a>', "link to #nowhere, which is nowhere"),
        ('<link href="x.css">', "loads x.css"),
        ("<style>body { background: url(x.png) }</style>", "style loads something"),
        ('<p style="background: url(x.png)">x</p>', "style loads something"),
        ("<script>1</script>", "holds a script"),
        ("<p><b>x</p></b>", "</p> closes ['b']"),
        ("<div>", "</body> closes ['div']"),
        ('<p id="line">x</p>', "id 'line' is there 2 times"),
        ("<figure>no image</figure>", "2 figures hold 1 images"),
        ('<figure><img alt=" " src="data:,"></figure>', "image 2 has no alternative text"),
    ],
)
def test_what_a_page_must_not_hold_is_named(tmp_path, part, problem):
    assert any(problem in line for line in report_check.problems_of(written(tmp_path, part)))


def test_size_and_missing_figures_are_named(tmp_path):
    path = written(tmp_path)
    size = path.stat().st_size
    assert report_check.problems_of(path, limit=size) == [f"{size} bytes, the limit is {size}"]
    assert report_check.problems_of(path, limit=size + 1) == []
    (tmp_path / "figures").mkdir()
    for name in ("line", "lost"):
        (tmp_path / "figures" / f"{name}.png").write_bytes(picture())
    assert report_check.problems_of(path) == ["figure lost is neither in the page nor named there"]


def test_fewer_colours_keep_the_size_of_the_picture():
    png = picture()
    small = page.compact(png, 16)
    assert len(small) < len(png)
    before, after = (imread(io.BytesIO(data))[..., :3] for data in (png, small))
    assert before.shape == after.shape
    assert abs(before - after).mean() < 0.02


def test_without_a_browser_it_says_so_and_returns_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert report_check.main([str(written(tmp_path))]) == 2
    assert "none of chromium, chromium-browser, google-chrome" in capsys.readouterr().err


@needs_browser
def test_a_missing_report_is_named(tmp_path, capsys):
    assert report_check.main([str(tmp_path / "gone.html")]) == 1
    assert "gone.html: no such file" in capsys.readouterr().out


@needs_browser
def test_the_browser_finds_what_goes_wrong_in_it_and_takes_pictures(tmp_path, capsys):
    folders = {name: tmp_path / name for name in ("good", "broken", "loud", "calling", "wide")}
    for folder in folders.values():
        folder.mkdir()
    broken = base64.b64encode(b"no picture").decode()
    reports = {
        "good": written(folders["good"]),
        "broken": written(folders["broken"], f'<figure><img alt="hole" src="data:image/png;base64,{broken}"></figure>'),
        "loud": written(folders["loud"], "<script>console.error('oh'); null.x</script>"),
        "calling": written(folders["calling"], '<img alt="x" src="http://127.0.0.1:9/x.png">'),
        "wide": written(folders["wide"], '<p style="width: 5000px; white-space: nowrap">x</p>'),
    }
    screens = tmp_path / "screens"
    assert report_check.main([*map(str, reports.values()), "--screens", str(screens)]) == 1
    lines = capsys.readouterr().out.splitlines()
    for name, words in {
        "broken": ["image 'hole' is not shown"],
        "loud": ["console error", "exception", "holds a script"],
        "calling": ["asks for http://127.0.0.1:9/x.png", "loads http"],
        "wide": ["scrolls sideways"],
    }.items():
        own = [line for line in lines if line.startswith(str(reports[name]))]
        assert [word for word in words if not any(word in line for line in own)] == [], own
    assert not [line for line in lines if line.startswith(str(reports["good"]))]
    assert {path.name for path in screens.iterdir()} >= {"good_light_00.png", "good_dark_00.png"}
    assert (screens / "good_light_00.png").read_bytes() != (screens / "good_dark_00.png").read_bytes()


@needs_browser
def test_a_good_report_passes_in_both_modes(tmp_path, capsys):
    assert report_check.main([str(written(tmp_path))]) == 0
    assert "1 figures, no complaint in light or dark" in capsys.readouterr().out

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import image as mpl_image
from matplotlib.figure import Figure

from skyreel.errors import OutputError
from skyreel.evaluate import figures
from skyreel.evaluate.metrics import score
from skyreel.evaluate.report import write_report
from skyreel.exposures import DTYPES, Exposures
from skyreel.interfaces import CLASSES, PixelBits, Predictions
from skyreel.movies import Movies

N, EPOCHS, SIZE = 12, 9, 11


class Page(HTMLParser):
    """Tags, links and visible text of a page; every tag must be closed in order."""

    void = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src", "srcset", "action")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.fixture(scope="module")
def movies() -> Movies:
    rng = np.random.default_rng(1)
    columns = {name: rng.uniform(1, 2, (N, EPOCHS)) for name in DTYPES}
    columns |= {"mask": np.ones((N, EPOCHS)), "band": np.zeros((N, EPOCHS)), "sky": np.full((N, EPOCHS), 100.0)}
    columns["mjd"] = 57070 + np.arange(EPOCHS) + np.zeros((N, 1))
    pixels = rng.normal(100, 5, (N, EPOCHS, 1, SIZE, SIZE)).astype(np.float32)
    pixels[:, :, 0, 4:7, 4:7] += 200
    bits = np.zeros(pixels.shape, np.uint8)
    pixels[0, 0, 0, 0], bits[0, 0, 0, 0] = np.nan, PixelBits.BAD
    bits[0, 1, 0, 5, 5] = PixelBits.SATURATED
    mask = np.ones((N, EPOCHS), bool)
    mask[:, 2] = False
    first = np.where(np.arange(N) % 4 == 0, 5, -1).astype(np.int32)
    label = np.array([("supernova", "rr_lyrae", "eclipsing_binary", "non_variable")[k % 4] for k in range(N)])
    names = np.array([f"star <{k}> & co" for k in range(N)])
    return Movies(pixels, bits, mask, Exposures(("g",), **columns), label, names, first)


@pytest.fixture(scope="module")
def predictions(movies) -> Predictions:
    probabilities = np.random.default_rng(2).dirichlet(np.ones(7), (N, EPOCHS)).astype(np.float32)
    probabilities[~movies.frame_mask] = np.nan
    return Predictions(CLASSES, probabilities, movies.frame_mask, movies.frame_mask)


@pytest.fixture(scope="module")
def metrics(movies, predictions):
    return score(predictions, movies.label)


@pytest.fixture(scope="module")
def drawn(movies, predictions, metrics) -> dict[str, Figure]:
    history = [{"step": k, "loss": 3.0 / (k + 1)} for k in range(50)]
    history += [{"step": k, "valid_loss": 2.0 / (k + 1), "valid_accuracy": k / 50} for k in (10, 30, 49)]
    return {
        "Accuracy": figures.accuracy_figure(metrics),
        "Recall": figures.recall_figure(metrics),
        "Confusion": figures.confusion_figure(metrics),
        "Example": figures.movie_figure(movies, predictions, 0),
        "Training": figures.training_figure(history),
    }


def report(path, metrics, drawn, **changes):
    content = {
        "title": "Real <sky> & co",
        "config_yaml": "seed: 0\nname: <script>alert(1)</script>\n",
        "metrics": metrics,
        "figures": drawn,
        "provenance": {"skyreel": "0.1.0", "data <set>": "see https://example.org"},
        "notes": ['5 objects < 2" & left out'],
    }
    return write_report(path, **(content | changes))


@pytest.fixture(scope="module")
def written(tmp_path_factory, metrics, drawn):
    return report(tmp_path_factory.mktemp("report") / "new" / "report.html", metrics, drawn)


@pytest.fixture(scope="module")
def text(written) -> str:
    return written.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_report_stands_alone(written, text, page, drawn):
    assert (written.parent.name, written.name) == ("new", "report.html")
    assert len(page.links) == len(drawn)
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"(?:url\(|@import|<link|<script)", text)
    assert written.stat().st_size < 5e6
    assert "prefers-color-scheme: dark" in text
    assert list(written.parent.iterdir()) == [written]


def test_report_holds_every_figure_with_its_caption(text, drawn):
    images = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)">', text)
    assert [name for name, _ in images] == list(drawn)
    for name, data in images:
        picture = mpl_image.imread(io.BytesIO(base64.b64decode(data)), format="png")
        width, height = drawn[name].get_size_inches()
        assert picture.shape[1] / picture.shape[0] == pytest.approx(width / height, rel=0.02)
        assert picture[..., :3].std() > 0.01


def test_report_escapes_all_text(page):
    assert "script" not in page.tags
    assert "a" not in page.tags
    for part in ("Real <sky> & co", "name: <script>alert(1)</script>", 'objects < 2" & left out', "data <set>", "https://example.org"):
        assert part in page.words


def test_report_tables_hold_the_scores(page, metrics):
    for name, recall in metrics["recall"].items():
        assert f"{100 * recall:.1f} ± {100 * metrics['recall_error'][name]:.1f}" in page.words
    for k in (3, 5, 10, 22):
        assert f"Objects by true and predicted class after {k} images." in page.words
    assert page.tags.count("table") == 1 + 4 + 1
    assert {"details", "summary", "pre"} <= set(page.tags)


def test_report_is_the_same_bytes_again(tmp_path, metrics, movies, predictions):
    pages = []
    for name in ("a.html", "b.html"):
        figure = {"movie": figures.movie_figure(movies, predictions, 1)}
        pages.append(report(tmp_path / name, metrics, figure).read_bytes())
    assert pages[0] == pages[1]


def test_a_failed_report_leaves_the_old_one(tmp_path, metrics, drawn):
    path = report(tmp_path / "report.html", metrics, {})
    before = path.read_bytes()
    broken = Figure()
    broken.savefig = lambda *args, **options: (_ for _ in ()).throw(RuntimeError("no ink"))
    with pytest.raises(RuntimeError, match="no ink"):
        report(path, metrics, {"broken": broken})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_report_in_an_impossible_folder(tmp_path, metrics):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"report\.html.*choose a folder"):
        report(tmp_path / "file" / "report.html", metrics, {})
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OutputError, match=r"folder\.html"):
        report(tmp_path / "folder.html", metrics, {})
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "folder.html"]


def test_curves_show_the_scores(metrics):
    axes = figures.accuracy_figure(metrics).axes[0]
    mean, accuracy = (line for line in axes.lines)
    steps = [metrics["by_n_images"][str(k)] for k in range(1, 23)]
    np.testing.assert_allclose(mean.get_xdata(), np.arange(1, 23))
    np.testing.assert_allclose(mean.get_ydata(), [step["mean_recall"] for step in steps])
    np.testing.assert_allclose(accuracy.get_ydata(), [step["accuracy"] for step in steps])
    axes = figures.recall_figure(metrics).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "supernova (3)",
        "RR Lyrae (3)",
        "eclipsing binary (3)",
        "non-variable (3)",
    ]


def test_confusion_panels_show_shares(metrics):
    figure = figures.confusion_figure(metrics, n_images=(3, 22))
    assert [axes.get_title() for axes in figure.axes] == ["after 3 images", "after 22 images"]
    shown = figure.axes[1].images[0].get_array()
    assert shown.shape == (4, 7)
    np.testing.assert_allclose(shown.sum(axis=1), 1.0)
    np.testing.assert_allclose([shown[0, 0], shown[3, 4]], [metrics["recall"]["supernova"], metrics["recall"]["non_variable"]])


def test_movie_shows_usable_frames_and_their_probabilities(movies, predictions):
    figure = figures.movie_figure(movies, predictions, 0)
    strip, chart = figure.axes
    assert len(strip.images) == EPOCHS - 1
    used = np.flatnonzero(movies.frame_mask[0])
    np.testing.assert_array_equal(chart.lines[0].get_ydata(), predictions.probabilities[0, used, 0])
    assert float(chart.lines[7].get_xdata()[0]) == 5.0  # frame 5 is the fifth usable one
    first = strip.images[0].get_array()
    assert np.ma.getmaskarray(first)[0].all()
    assert not np.ma.getmaskarray(strip.images[1].get_array()).any()
    assert abs(np.ma.median(first[1:3])) < 5


def test_typical_objects_have_the_median_probability(movies, predictions):
    rows = figures.example_rows(predictions, movies.label)
    assert list(rows) == ["supernova", "rr_lyrae", "eclipsing_binary", "non_variable"]
    for name, row in rows.items():
        members = np.flatnonzero(movies.label == name)
        own = predictions.probabilities[members, -1, CLASSES.index(name)]
        assert movies.label[row] == name
        assert predictions.probabilities[row, -1, CLASSES.index(name)] == np.median(own)


def test_classes_of_other_plugins_get_a_look_of_their_own():
    looks = [tuple(figures.class_style(name, (*CLASSES, "kilonova", "agn")).values()) for name in (*CLASSES, "agn", "kilonova")]
    assert len(set(looks)) == 9


def test_training_curves_hold_every_column():
    rows = {"train": [{"step": 0, "loss": 2.0}, {"step": 5, "loss": 1.0}], "valid": [{"step": 5, "loss": 1.5, "accuracy": 0.4}]}
    flat = [{"step": 0, "train_loss": 2.0}, {"step": 5, "train_loss": 1.0}, {"step": 5, "valid_loss": 1.5, "valid_accuracy": 0.4}]
    for history in (rows, flat):
        losses, merits = figures.training_figure(history).axes
        assert [line.get_label() for line in losses.lines] == ["train loss", "valid loss"]
        assert [line.get_label() for line in merits.lines] == ["valid accuracy"]
        np.testing.assert_array_equal(losses.lines[0].get_xydata(), [[0, 2.0], [5, 1.0]])
    assert len(figures.training_figure([]).axes) == 2

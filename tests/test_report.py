import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import image as mpl_image
from matplotlib.figure import Figure
from rich.console import Console
from scored_toys import random_outcomes

from skyreel.errors import OutputError
from skyreel.evaluate import figures
from skyreel.evaluate.figures_style import class_style
from skyreel.evaluate.metrics import score
from skyreel.evaluate.names import long_name
from skyreel.evaluate.outcomes import Outcomes
from skyreel.evaluate.report import write_report
from skyreel.evaluate.rows import quality_rows, strata_rows
from skyreel.evaluate.table import print_scores
from skyreel.interfaces import CLASSES

N, EPOCHS = 12, 9
LABELS = ("supernova", "rr_lyrae", "eclipsing_binary", "non_variable")


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
def outcomes() -> Outcomes:
    label = [LABELS[k % 4] for k in range(N)]
    found = random_outcomes(2, N, EPOCHS)
    columns = {"mag": 17.0 + np.arange(N), "snr": 2.0 * 2.0 ** np.arange(N), "saturated": np.arange(N) == 0}
    return replace(found, label=np.array(label), alert=np.where(np.arange(N) % 4 == 0, 1, 0).astype(np.int32), **columns)


@pytest.fixture(scope="module")
def metrics(outcomes):
    return score(outcomes)


@pytest.fixture(scope="module")
def drawn(metrics) -> dict[str, Figure]:
    history = [{"step": k, "loss": 3.0 / (k + 1)} for k in range(50)]
    history += [{"step": k, "valid_loss": 2.0 / (k + 1), "valid_accuracy": k / 50} for k in (10, 30, 49)]
    return {
        "Accuracy": figures.accuracy_figure(metrics),
        "Recall": figures.recall_figure(metrics),
        "Confusion": figures.confusion_figure(metrics),
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
    assert page.tags.count("table") == 1 + 2 + 4 + 3 + 1
    assert {"details", "summary", "pre"} <= set(page.tags)


def test_report_tells_precision_timing_calibration_and_strata(page, metrics):
    for title, head, rows in (*quality_rows(metrics), *strata_rows(metrics)):
        assert f"{title}." in page.words
        assert all(word in page.words for word in head)
        assert all(cell in page.words for row in rows for cell in row)


def test_rows_hold_the_numbers_of_the_metrics(metrics):
    (_, head, rows), (_, _, quality) = quality_rows(metrics)
    for row, (name, precision) in zip(rows, metrics["precision"].items(), strict=False):
        cells = dict(zip(head, row, strict=True))
        assert cells["class"] == long_name(name)
        assert cells["precision"] == ("–" if precision is None else f"{100 * precision:.1f}")
        assert cells["never"] == f"{100 * metrics['stable'][name]['never']:.1f}"
    after = metrics["alert"]["supernova"]["after"]
    assert rows[0][-2:] == [f"{100 * after[k]['recall']:.1f}" for k in ("0", "3")]
    assert rows[1][-2:] == ["", ""]  # RR Lyrae have no alert here
    assert dict(row[:2] for row in quality)["log loss"] == f"{metrics['log_loss']:.3f}"
    names = [rows[0][0] for _, _, rows in strata_rows(metrics)]
    assert names == ["17 to 18", "below 3", "none"]
    assert strata_rows(metrics)[0][2][-1][:2] == ["from 23 on", "6"]


def test_rows_without_a_value_say_so(outcomes):
    label = np.array(["supernova"] * N)
    nobody = replace(outcomes, label=label, mag=np.full(N, np.nan), alert=np.zeros(N, np.int32))
    wrong = np.where(np.isnan(nobody.probabilities), np.nan, np.eye(7, dtype=np.float32)[3])
    found = score(replace(nobody, probabilities=wrong))
    assert quality_rows(found)[0][2] == [["supernova", "–", "over half never", "over half never", "100.0", "", ""]]
    assert strata_rows(found)[0][2] == [["unknown", str(N), "0.0", f"0.0 ({N})"]]


def several(metrics, cleared: bool):
    """Scores under two protocols with one control."""
    subset = {"counts": {**metrics["counts"], "supernova": 2}, "mean_recall": 0.321, "mean_recall_interval": {"95": [0.2, 0.4]}}
    other = {**metrics, "mean_recall": 0.4567, "bright": subset}
    difference = {"value": 0.1, "68": [0.05, 0.15], "95": [0.01 if cleared else -0.01, 0.2]}
    cell = {"mean_recall": {"value": 0.234}, "difference": difference, "cleared": cleared}
    protocols = {"label_blind": {**metrics, "bright": subset}, "paper": other}
    verdict = {name: {"clears": cleared, "not_cleared": [] if cleared else ["length_only"]} for name in protocols}
    controls = {name: {"length_only": cell} for name in protocols}
    more = {"protocol": "label_blind", "protocols": protocols, "controls": controls, "verdict": verdict}
    return {**protocols["label_blind"], **more}


@pytest.mark.parametrize("cleared", [True, False])
def test_report_says_which_controls_are_not_cleared(cleared, metrics, tmp_path):
    page = Page(report(tmp_path / "r.html", several(metrics, cleared), {}).read_text(encoding="utf-8"))
    line = "clears all controls" if cleared else "does not clear: length only"
    for name in ("label-blind", "paper"):
        assert f"{name}: {line}" in page.words
    assert ("does not clear" in page.words) is not cleared
    assert ("23.4 *" in page.words) is not cleared
    for part in (
        "45.7",
        "32.1",
        "20.0 to 40.0",
        "bright: 2 of 3 SN",
        "+10.0",
        f"{'+1.0' if cleared else '-1.0'} to +20.0",
        "mean recall, label-blind",
    ):
        assert part in page.words
    console = Console(record=True, width=100, file=io.StringIO())
    print_scores(several(metrics, cleared), console)
    shown = console.export_text()
    assert f"label-blind: {line}" in shown
    assert all(part in shown for part in ("45.7", "32.1", "+10.0", "length only"))


def test_report_is_the_same_bytes_again(tmp_path, metrics):
    pages = [report(tmp_path / name, metrics, {"recall": figures.recall_figure(metrics)}).read_bytes() for name in ("a.html", "b.html")]
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


def test_classes_of_other_plugins_get_a_look_of_their_own():
    looks = [tuple(class_style(name, (*CLASSES, "kilonova", "agn")).values()) for name in (*CLASSES, "agn", "kilonova")]
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

"""The verb `compare`: grouping, numbers against their independent sources, pages, tables, errors."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import outcome_toys as toys
import pytest
from report_check import problems_of
from verb_runs import Done, refused, skyreel

from skyreel.errors import ConfigError, DataError
from skyreel.evaluate import latex
from skyreel.evaluate.comparison import compare_runs, label_runs, matched, same_movies
from skyreel.evaluate.comparison_page import write_comparison
from skyreel.evaluate.comparison_scores import numbers
from skyreel.evaluate.comparison_tables import tables, verdicts
from skyreel.evaluate.intervals import interval, paired_difference
from skyreel.evaluate.metrics import score
from skyreel.evaluate.outcomes import Key, read_outcomes, write_outcomes
from skyreel.evaluate.paper_numbers import PAPER
from skyreel.evaluate.runs import read_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    toys.toy_runs(folder)
    return folder


@pytest.fixture(scope="module")
def runs(root: Path):
    return [read_run(str(root / name)) for name in ("net0", "net1", "forest0", "net0-sky", "net1-sky", "forest0-sky", "net0-tuned")]


@pytest.fixture(scope="module")
def found(runs):
    return compare_runs(runs)


@pytest.fixture(scope="module")
def scored(found):
    return numbers(found)


@pytest.fixture(scope="module")
def report(root: Path) -> tuple[Done, Path]:
    """What the verb leaves of three of the runs."""
    names = ("net0", "net0-sky", "forest0-sky", "net0-tuned")
    done = skyreel("compare", *names, "--output", "report", "--name", "forest0-sky=rival_1 & co", cwd=root)
    assert done.code == 0, done.err
    return done, root / "report"


def entry(scored, name, data=toys.SKY, protocol="label_blind"):
    return next(row for row in scored["entries"] if (row["name"], row["data"], row["protocol"]) == (name, data, protocol))


def test_seeds_of_one_config_are_one_model_and_other_configs_are_others(found):
    assert found.labels == ("rcnn", "rcnn", "forest", "rcnn", "rcnn", "forest", "rcnn")
    by_name = {(row.name, row.data, row.protocol): row for row in found.entries}
    assert [part.tag for part in by_name["rcnn", toys.SKY, "paper"].parts] == [(0, -1, -1), (1, -1, -1)]
    assert [part.tag for part in by_name["rcnn + 10 per class", toys.SKY, "paper"].parts] == [(0, 3, 0), (0, 3, 1), (0, 3, 2)]
    assert len(by_name["forest", "simulated test", "paper"].parts) == 1
    assert found.real == (toys.SKY,)
    assert found.protocols(toys.SKY) == ("label_blind", "paper", "length_matched_first", "length_matched_last")


def test_models_that_differ_in_an_option_are_named_after_it(tmp_path):
    made = [toys.train(tmp_path, "a", lstm=64), toys.train(tmp_path, "b", lstm=512), toys.train(tmp_path, "c", lstm=512, seed=1)]
    runs = [read_run(str(path)) for path in made]
    assert label_runs(runs, {}) == ["rcnn (classifier.lstm 64)", "rcnn (classifier.lstm 512)", "rcnn (classifier.lstm 512)"]
    assert label_runs(runs, {runs[2].folder: "wide"}) == ["rcnn", "wide", "wide"]


def test_threads_and_devices_do_not_make_another_model(tmp_path):
    first, second = toys.train(tmp_path, "a"), toys.train(tmp_path, "b", seed=1)
    text = (second / "config.yaml").read_text().replace("threads: 1", "threads: 8").replace("device: auto", "device: cuda")
    (second / "config.yaml").write_text(text)
    assert read_run(str(first)).origin.identity == read_run(str(second)).origin.identity


def test_scores_are_those_of_the_modules_that_define_them(found, scored):
    chosen = next(row for row in found.entries if (row.name, row.data, row.protocol) == ("rcnn", toys.SKY, "label_blind"))
    row = entry(scored, "rcnn")
    assert row["mean_recall"] == interval(chosen.outcomes)
    assert row["recall"]["supernova"] == interval(chosen.outcomes, metric="supernova")
    each = [score(part, resamples=1) for part in chosen.outcomes]
    assert row["log_loss"]["value"] == pytest.approx(np.mean([item["log_loss"] for item in each]))
    assert row["ece"]["spread"] == pytest.approx(np.std([item["ece"] for item in each], ddof=1))
    at_3 = [item["by_n_images"]["3"]["mean_recall"] for item in each]
    assert row["by_n_images"]["3"]["mean_recall"]["value"] == pytest.approx(np.mean(at_3))
    assert row["bright"]["counts"]["supernova"] == 10
    assert row["bright"]["mean_recall"] == interval([part.take(part.bright) for part in chosen.outcomes])


def test_cells_over_several_seeds_count_objects_once(found, scored):
    row = entry(scored, "rcnn")
    cells = row["strata"]["magnitude"]
    assert sum(cell["n"] for cell in cells) == 80
    alone = numbers(compare_runs([run for run in found.runs if run.folder.endswith("net0-sky")]))
    lone = entry(alone, "rcnn")["strata"]["magnitude"]
    assert [cell["n"] for cell in lone] == [cell["n"] for cell in cells]
    assert row["alert"]["supernova"]["n"] == 20
    assert sum(cell["n"] for cell in entry(scored, "rcnn + 10 per class")["strata"]["magnitude"]) == 72


def test_differences_pair_the_same_objects_and_leave_out_other_movies(found, scored):
    rows = {(row["a_name"], row["b_name"], row["data"], row["protocol"]): row for row in scored["differences"]}
    row = rows["forest", "rcnn", toys.SKY, "paper"]
    by_name = {(item.name, item.data, item.protocol): item for item in found.entries}
    direct = paired_difference(by_name["forest", toys.SKY, "paper"].outcomes * 2, by_name["rcnn", toys.SKY, "paper"].outcomes)
    assert {key: row[key] for key in direct} == direct
    assert row["value"] < 0
    assert row["n"] == [80, 80]
    assert rows["forest", "rcnn + 10 per class", toys.SKY, "paper"]["n"] == [72, 72, 72]
    # the forest's test movies are those of seed 0; the network of seed 1 has others under the same names
    simulated = matched(by_name["forest", "simulated test", "paper"], by_name["rcnn", "simulated test", "paper"])
    assert len(simulated[0]) == 1
    assert "has label" in same_movies(toys.toy_outcomes(0), replace(toys.toy_outcomes(0), label=toys.toy_outcomes(0).label[::-1].copy()))


def test_what_fine_tuning_changed_is_measured_on_the_objects_each_draw_left(scored, root):
    outcomes = read_outcomes(root / "net0-tuned" / "outcomes.parquet")
    before, after = ([outcomes[Key(toys.SKY, "paper", name, k)] for k in range(3)] for name in ("model", "fine-tuned"))
    row = next(row for row in scored["tuning"] if (row["data"], row["protocol"], row["metric"]) == (toys.SKY, "paper", "mean_recall"))
    direct = paired_difference(after, before)
    assert {key: row[key] for key in direct} == direct
    kept = [row for row in scored["tuning"] if row["data"] == "simulated test"]
    assert {row["metric"] for row in kept} == {"mean_recall", *toys.CLASSES}
    assert {row["value"] for row in kept} == {0.0}


def test_a_model_scored_only_before_its_fine_tuning_is_shown_without_labels(root):
    lone = compare_runs([read_run(str(root / "net0-tuned"))])
    plain = lone.of(toys.SKY, "paper", tuned=False)
    assert [item.name for item in plain] == ["rcnn"]
    assert len(plain[0].outcomes[0]) == 80  # every object was left by some draw, and counts once
    assert len(np.unique(plain[0].outcomes[0].object_id)) == 80


def test_a_control_as_good_as_the_model_is_named_under_every_protocol(scored):
    assert entry(scored, "rcnn")["verdict"] == {"clears": False, "not_cleared": ["shuffled_time"]}
    assert verdicts(scored["entries"])[0] == (
        "rcnn on the sky does not clear: shuffled time (protocol label-blind; paper; matched, first; matched, last)"
    )
    assert entry(scored, "rcnn + 10 per class")["verdict"] is None
    assert "rcnn + 10 per class on the sky has no controls beside it" in verdicts(scored["entries"])[1]
    assert not [line for line in verdicts(scored["entries"]) if "simulated" in line]


def test_the_papers_numbers_are_those_it_prints():
    printed = {(item.where, item.classifier, item.data, item.tuned, item.metric): (item.value, item.error) for item in PAPER}
    assert printed["figure 5", "rcnn", "train", False, "accuracy"] == (0.961, 0.005)
    assert printed["figure 5", "forest", "train", False, "accuracy"] == (0.941, 0.001)
    assert printed["figure 5", "rcnn", "test", False, "accuracy"] == (0.953, 0.002)
    assert printed["figure 5", "forest", "test", False, "accuracy"] == (0.923, 0.002)
    figure_6 = [value for key, value in printed.items() if key[0] == "figure 6"]
    assert figure_6 == [(0.85, 0.02), (0.88, 0.01), (0.94, 0.01), (0.94, 0.01)]
    recalls = {key[4]: value[0] for key, value in printed.items() if key[0].startswith("section 5")}
    five = (recalls["supernova"], recalls["rr_lyrae"], recalls["eclipsing_binary"], recalls["non_variable"], recalls["asteroid"])
    assert five == (0.74, 0.95, 0.66, 1.0, 0.98)
    assert printed["from section 5", "rcnn", "real", False, "mean_recall"][0] == pytest.approx(np.mean(five[:4]))


def test_ours_beside_the_paper_are_those_of_its_protocol_and_classifier(scored):
    rows = {
        (row["paper"]["where"], row["paper"]["classifier"], row["paper"]["metric"], row["paper"]["tuned"]): row for row in scored["paper"]
    }
    ours = rows["figure 6", "rcnn", "mean_recall", True]["ours"]
    assert [item["name"] for item in ours] == ["rcnn + 10 per class", "rcnn + 10 per class, bright subset"]
    assert ours[0]["value"] == entry(scored, "rcnn + 10 per class", protocol="paper")["mean_recall"]["value"]
    assert rows["figure 6", "forest", "mean_recall", True]["ours"] == []
    assert rows["section 5, figure 10", "rcnn", "asteroid", False]["ours"] == []
    assert rows["figure 5", "forest", "accuracy", False]["ours"][0]["name"] == "forest"


def test_the_report_is_one_file_that_holds_every_figure(report):
    done, folder = report
    assert problems_of(folder / "report.html") == []
    text = (folder / "report.html").read_text()
    slugs = {path.stem for path in (folder / "figures").glob("*.png")}
    assert slugs == {path.stem for path in (folder / "figures").glob("*.pdf")}
    assert {f'id="{slug}"' in text for slug in slugs} == {True}
    wanted = ("overview", "fig05", "fig06", "fig07", "fig08_11", "fig12_13", "fig14", "appendix_a", "appendix_b", "failures", "calibration")
    assert [name for name in wanted if not any(slug.startswith(name) for slug in slugs)] == []
    for words in ("rival_1 &amp; co", "does not clear: shuffled time", "0.8375", "What is not comparable with the paper", "config hash"):
        assert words in text
    assert "prefers-color-scheme: dark" in text
    assert "report:" in done.out
    assert "rival_1 & co" in done.out


def test_metrics_and_tables_hold_the_same_numbers(report):
    _, folder = report
    found = json.loads((folder / "metrics.json").read_text())
    row = entry(found, "rcnn", protocol="paper")
    lines = list(csv.reader((folder / "tables" / "headline_the_sky.csv").open()))
    assert lines[0][:3] == ["protocol", "model", "runs"]
    line = next(line for line in lines if line[:2] == ["paper", "rcnn"])
    assert line[lines[0].index("mean recall")] == f"{100 * row['mean_recall']['value']:.1f}"
    low, high = row["mean_recall"]["95"]
    assert line[lines[0].index("95 %")] == f"{100 * low:.1f} to {100 * high:.1f}"
    assert {run["verb"] for run in found["runs"]} == {"train", "evaluate", "finetune"}
    assert {run["training_seed"] for run in found["runs"]} == {0}


def test_every_latex_table_has_as_many_cells_as_columns_and_no_bare_special(report, scored):
    _, folder = report
    made = sorted((folder / "tables").glob("*.tex"))
    assert {path.stem for path in made} == {path.stem for path in (folder / "tables").glob("*.csv")}
    for path in made:
        text = path.read_text()
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1]
        body = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(columns) - 1}
        without_label = re.sub(r"\\label\{[^}]*\}", "", text)
        assert not re.search(r"(?<!\\)[%#_]", without_label)
        assert without_label.count("$") % 2 == 0
        assert text.count(r"\begin{") == text.count(r"\end{")
    assert r"rival\_1 \& co" in (folder / "tables" / "headline_the_sky.tex").read_text()


def test_latex_escapes_what_tex_reads():
    assert latex.escape(r"a_b & 5 % {x} $y$ #1 \z ~ ^ ± < >") == (
        r"a\_b \& 5 \% \{x\} \$y\$ \#1 \textbackslash{}z \textasciitilde{} \textasciicircum{} $\pm$ \textless{} \textgreater{}"
    )


def test_every_table_has_rows_as_long_as_its_head(scored):
    made = tables(scored)
    assert {len(row) == len(table.head) for table in made for row in table.rows} == {True}
    assert len({table.slug for table in made}) == len(made)
    assert {table.section for table in made} >= {
        "headline",
        "controls",
        "differences",
        "tuning",
        "images",
        "strata",
        "calibration",
        "timing",
    }


def test_the_same_runs_give_the_same_files_and_earlier_ones_go(root):
    folder, left = root / "again", []
    for _ in range(2):
        assert skyreel("compare", "net0", "--output", "again", cwd=root).code == 0
        left.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()})
        (folder / "tables" / "old.csv").write_text("of an earlier comparison")
    assert left[0].keys() == left[1].keys()
    assert [str(name) for name in left[0] if left[0][name] != left[1][name]] == []


def test_figures_that_would_make_the_page_too_large_stay_beside_it(tmp_path, root):
    lone = compare_runs([read_run(str(root / "net0"))])
    found = numbers(lone)
    whole = write_comparison(tmp_path / "whole", lone, found)
    assert whole.left_out == ()
    small = write_comparison(tmp_path / "small", lone, found, limit=whole.size - 1000)
    assert small.size < whole.size - 1000
    assert small.left_out
    text = small.report.read_text()
    assert [f"figures/{slug}.png" in text for slug in small.left_out] == [True] * len(small.left_out)
    assert (tmp_path / "small" / "figures" / f"{small.left_out[0]}.png").is_file()
    assert problems_of(small.report) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere"], ["run nowhere", "no such folder", "finished"]),
        (["net0/model"], ["no outcomes.parquet, metrics.json, config.yaml in it"]),
        (["net0", "net0"], ["run net0", "given twice"]),
        (["net0", "--nmae", "net0=a"], ["--nmae", "skyreel compare --help"]),
        ([], ["RUN", "skyreel compare --help"]),
        (["net0", "--name", "net0"], ["--name net0", "RUN=LABEL"]),
        (["net0", "--name", "net9=a"], ["no such run", "net0"]),
        (["net0", "--name", "net0=a", "--name", "net0=b"], ["already called a"]),
        (["net0", "net1", "net0-sky", "--name", "net0=a", "--name", "net1=b"], ["run net0-sky", "a and b", "--name net0-sky=LABEL"]),
        (["net0", "--output", "net1"], ["output folder net1", "it holds config.yaml"]),
        (["net0", "--seed", "x"], ["--seed", "invalid int"]),
    ],
)
def test_wrong_input_is_named(root, args, words):
    refused(skyreel("compare", *args, cwd=root), *words)


def test_damaged_files_are_named(tmp_path):
    folder = toys.train(tmp_path, "run")
    for name, text in (("metrics.json", "{"), ("outcomes.parquet", "x"), ("config.yaml", "a: [")):
        kept = (folder / name).read_bytes()
        (folder / name).write_text(text)
        with pytest.raises(DataError, match=name):
            read_run(str(folder))
        (folder / name).write_bytes(kept)


def test_the_same_seed_twice_is_refused_unless_it_gets_a_name(root, tmp_path):
    other = toys.evaluate(tmp_path, "again", root / "net0")
    both = [read_run(str(root / "net0-sky")), read_run(str(other))]
    with pytest.raises(DataError, match="hold the same seed of model rcnn"):
        compare_runs(both)
    assert len(compare_runs(both, {both[0].folder: "a", both[1].folder: "b"}).of(toys.SKY, "paper")) == 2


def test_other_objects_under_one_name_are_refused(root, tmp_path):
    other = toys.evaluate(tmp_path, "elsewhere", root / "forest0", objects=7)
    runs = [read_run(str(root / "net0-sky")), read_run(str(other))]
    with pytest.raises(DataError, match=r"the sky, protocol label_blind.*has field \d in one and \d in the other.*same objects"):
        compare_runs(runs)
    apart = {
        key: replace(part, object_id=np.char.add("x", part.object_id)) for key, part in read_outcomes(other / "outcomes.parquet").items()
    }
    write_outcomes(other / "outcomes.parquet", apart)
    with pytest.raises(DataError, match="no object in common"):
        compare_runs([runs[0], read_run(str(other))])


def test_a_relative_model_counts_from_where_the_run_was_started(root):
    run = read_run(str(toys.evaluate(root, "runs/here", Path("net0"))))
    assert run.origin.identity == read_run(str(root / "net0")).origin.identity


def test_a_model_that_has_moved_can_still_be_compared(tmp_path):
    run = read_run(str(toys.evaluate(tmp_path, "run", tmp_path / "gone", shown=True)))
    assert run.origin.seed is None
    assert compare_runs([run]).labels == ("rcnn",)


def test_an_evaluated_copy_of_a_fine_tuned_model_is_no_seed_of_the_plain_one(root, tmp_path):
    draw = root / "net0-tuned" / "draw0"
    (draw / "model").mkdir(parents=True, exist_ok=True)
    (draw / "model" / "model.json").write_text('{"component": "rcnn"}')
    (draw / "config.yaml").write_text((root / "net0" / "config.yaml").read_text())
    copy = read_run(str(toys.evaluate(tmp_path, "copy", draw)))
    plain = read_run(str(root / "net0-sky"))
    assert compare_runs([plain, copy]).labels == ("rcnn", "rcnn, fine-tuned")


def test_unknown_outcomes_are_refused(tmp_path):
    folder = toys.write_run(tmp_path / "run", "evaluate", {"model": None}, {Key("a", "paper", "oracle"): toys.toy_outcomes()})
    with pytest.raises(DataError, match="outcomes of oracle"):
        compare_runs([read_run(str(folder))])


def test_nothing_to_compare_is_refused():
    with pytest.raises(ConfigError, match="no run"):
        compare_runs([])


def test_help_says_what_it_does_and_leaves(root, capsys):
    with pytest.raises(SystemExit) as left:
        skyreel("compare", "--help", cwd=root)
    assert left.value.code == 0

"""`skyreel realism`: what it leaves, what it refuses, and its options."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import yaml
from conftest import ROOT
from matplotlib.axes import Axes
from realism_parts import constant_stars
from verb_runs import refused, skyreel

from skyreel.errors import ConfigError
from skyreel.evaluate.realism import balanced_folds, cross_validated, verdict
from skyreel.evaluate.realism_comparison import of_twins
from skyreel.evaluate.realism_features import FRAME
from skyreel.evaluate.realism_figures import realism_figure
from skyreel.evaluate.realism_forest import separations
from skyreel.evaluate.realism_network import judge_device, judged_stamps, network_judge
from skyreel.evaluate.realism_objects import OBJECT
from skyreel.evaluate.realism_tables import COLUMNS, as_csv, feature_table
from skyreel.verbs.realism import RealismOptions


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ("dataset", "name real movies")),
        (["dataset=hits2015a", "source=[supernova]"], ("no non_variable, only supernova", "+source=non_variable")),
        (["dataset=hits2015a", "realism.label=quasar"], ("no quasar, only supernova", "realism.label")),
        (["dataset=hits2015a", "realism.judges=[owl]"], ("realism.judges", "forest, cnn")),
        (["dataset=hits2015a", "realism.objects=-1"], ("realism.objects", "-1")),
        (["dataset=hits2015a", "realism.device=cuda:99"], ("realism.device=cuda:99", "this machine has", "cpu", "or auto")),
        (["dataset=hits2015a", "dataset.path=nowhere", "realism.judges=[forest]"], ("nowhere", "dataset.path=FOLDER")),
    ],
)
def test_verb_refuses(arguments, words, tmp_path):
    refused(skyreel("realism", *arguments, cwd=tmp_path), *words)


def test_config_holds_the_defaults():
    written = yaml.safe_load((ROOT / "conf" / "realism.yaml").read_text())["realism"]
    assert RealismOptions(**written) == RealismOptions()


def test_devices_of_this_machine_are_known():
    assert judge_device("cpu").type == "cpu"
    assert judge_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigError, match="realism.device=gpu.*cpu"):
        judge_device("gpu")


def test_network_tells_a_wrong_width_and_not_the_same():
    real = constant_stars(12, seed=1, mag=17.0)
    aucs = []
    for other in (constant_stars(12, seed=2, mag=17.0), constant_stars(12, seed=2, mag=17.0, psf_fwhm=5.0)):
        sample = of_twins(real, other, 0.27).sample
        stamps = np.concatenate([judged_stamps(real), judged_stamps(other)])
        fold = balanced_folds(sample.real, sample.group, 2)
        probability = cross_validated(network_judge(stamps, sample.real, 0, epochs=6), fold)
        aucs.append(verdict("frame", "cnn", probability, sample.real, sample.group, fold))
    assert aucs[0].interval[0] < 0.5 < aucs[0].interval[1]
    assert aucs[1].auc > 0.9


def test_table_holds_every_feature_with_its_quantiles():
    sample = of_twins(constant_stars(6, seed=1), constant_stars(6, seed=2), 0.27).sample
    whole = sample.objects()
    rows = feature_table("frame", separations(sample.values, sample.real), sample.values, sample.real, FRAME)
    rows += feature_table("object", separations(whole.values, whole.real, OBJECT), whole.values, whole.real, OBJECT)
    read = list(csv.DictReader(as_csv(rows).splitlines()))
    assert tuple(read[0]) == COLUMNS
    assert {row["feature"] for row in read if row["level"] == "frame"} == set(FRAME)
    assert {row["feature"] for row in read if row["level"] == "object"} == set(OBJECT)
    for row in read[: len(FRAME)]:
        column = sample.values[:, FRAME.index(row["feature"])]
        assert float(row["real_50"]) == pytest.approx(np.median(column[sample.real]), rel=1e-3, abs=1e-6)
        assert float(row["simulated_84"]) == pytest.approx(np.percentile(column[~sample.real], 84), rel=1e-3, abs=1e-6)
    assert next(row["group"] for row in read if row["feature"] == "memory width_ratio") == "width"
    assert next(row["group"] for row in read if row["feature"] == "coherence") == "direction"


def test_figure_shows_every_verdict():
    sample = of_twins(constant_stars(6, seed=1), constant_stars(6, seed=2), 0.27).sample
    fold = balanced_folds(sample.real, sample.group)
    score = sample.values[:, 0]
    kinds = [("frame", "forest", "object"), ("frame", "forest", "field"), ("frame", "cnn", "object"), ("background", "forest", "object")]
    verdicts = [verdict(level, judge, score, sample.real, sample.group, fold, folds) for level, judge, folds in kinds]
    for importance in ({"width": 0.2, "noise": -0.01}, {}):
        drawing = realism_figure(verdicts, separations(sample.values, sample.real), importance, sample, "non_variable")
        left = next(axes for axes in drawing.figure.findobj(Axes) if axes.get_title("left").startswith("can"))
        assert [text.get_text() for text in left.texts] == [f"{item.auc:.2f}" for item in verdicts]
        assert left.get_legend_handles_labels()[1] == ["forest, object held out", "forest, field held out", "cnn, object held out"]
        assert "48 real and 48 simulated frames" in drawing.caption


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("label", "judged", "against"),
    [
        ("non_variable", {(level, folds) for level in ("frame", "background", "object") for folds in ("object", "field")}, "twins"),
        pytest.param(
            "supernova",
            {(level, folds) for level in ("frame", "background") for folds in ("object", "field")},
            "matched frames",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_verb_judges_the_real_sky(label, judged, against, data_dir, tmp_path):
    real = ("dataset=hits2015a", f"dataset.path={data_dir / 'hits2015a'}", f"realism.label={label}", "psf=gaussian")
    done = skyreel("realism", *real, "realism.objects=12", "realism.judges=[forest]", "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "run" / "realism.json").read_text())
    assert {(item["level"], item["folds"]) for item in metrics["verdicts"]} == judged
    assert metrics["compared_with"] == against
    assert metrics["psf"]["note"] == "psf not measured on these stars"
    assert "psf not measured on these stars" in done.out
    scores = {item["level"]: item["auc"] for item in metrics["verdicts"] if item["folds"] == "object"}
    assert scores["frame"] > 0.8  # no star is a Gaussian
    if label == "supernova":
        assert all(area < 0.6 for area in metrics["balance"].values())
    assert (tmp_path / "run" / "realism.png").stat().st_size > 10_000
    assert (tmp_path / "run" / "realism.csv").read_text().startswith("level,feature,group,separation")

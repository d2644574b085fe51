"""`skyreel evaluate`: protocols, controls and their verdict, in every file that it leaves."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from verb_runs import CLASSES, Done, refused, skyreel

from skyreel.evaluate.controls import CONTROLS
from skyreel.evaluate.intervals import paired_difference
from skyreel.evaluate.metrics import score
from skyreel.evaluate.outcomes import Key, Outcomes, read_outcomes
from skyreel.evaluate.protocols import PROTOCOLS
from skyreel.models import load_model
from skyreel.movie_files import MovieFolder, write_shard
from skyreel.simulate.run import simulate_movies
from skyreel.verbs.control_movies import training_movies
from skyreel.verbs.scoring import score_controls, score_protocols

FEW = ["control_objects=6", "hydra.run.dir=scored"]


def evaluate(folder: Path, *args: str) -> Done:
    return skyreel("evaluate", "model=run", "input=movies", *FEW, *args, cwd=folder)


@pytest.fixture(scope="module")
def scored(made: Path) -> Path:
    done = evaluate(made)
    assert done.code == 0, done.err
    (made / "scored" / "shown.log").write_text(done.out)
    return made / "scored"


@pytest.fixture(scope="module")
def metrics(scored: Path) -> dict:
    return json.loads((scored / "metrics.json").read_text())


@pytest.fixture(scope="module")
def outcomes(scored: Path) -> dict[Key, Outcomes]:
    return read_outcomes(scored / "outcomes.parquet")


def test_the_run_s_folder_is_whole(scored: Path) -> None:
    files = {path.name for path in scored.iterdir() if path.is_file()}
    assert files >= {"config.yaml", "run.json", "metrics.json", "outcomes.parquet", "exhibits.npz", "report.html"}
    assert not list(scored.rglob("*.part"))


def test_every_protocol_and_every_control_has_outcomes_of_the_same_objects(outcomes: dict[Key, Outcomes]) -> None:
    wanted = {Key("movies", protocol, model) for protocol in PROTOCOLS for model in ("model", *CONTROLS)}
    assert set(outcomes) == wanted
    for key, part in outcomes.items():
        model = outcomes[Key("movies", key.protocol)]
        np.testing.assert_array_equal(part.object_id, model.object_id)
        np.testing.assert_array_equal(part.n_images, model.n_images)
        assert part.classes == CLASSES


def test_metrics_are_the_scores_of_the_outcomes(metrics: dict, outcomes: dict[Key, Outcomes]) -> None:
    assert list(metrics["protocols"]) == list(PROTOCOLS)
    assert metrics["protocol"] == "label_blind"
    for name, scores in metrics["protocols"].items():
        assert scores == json.loads(json.dumps(score(outcomes[Key("movies", name)])))
    top = metrics["protocols"]["label_blind"]
    assert {key: metrics[key] for key in top} == top


def test_the_verdict_is_that_of_paired_differences(metrics: dict, outcomes: dict[Key, Outcomes]) -> None:
    for protocol in PROTOCOLS:
        rows = metrics["controls"][protocol]
        assert list(rows) == list(CONTROLS)
        for name, row in rows.items():
            difference = paired_difference(outcomes[Key("movies", protocol)], outcomes[Key("movies", protocol, name)])
            assert row["difference"]["95"] == pytest.approx(difference["95"])
            assert row["cleared"] == (difference["95"][0] > 0)
        failed = [name for name in CONTROLS if not rows[name]["cleared"]]
        assert metrics["verdict"][protocol] == {"clears": not failed, "not_cleared": failed}


def test_a_model_that_does_not_clear_its_controls_is_reported_so(scored: Path, metrics: dict) -> None:
    """A network of 40 steps beats few of them."""
    shown, page = (scored / "shown.log").read_text(), (scored / "report.html").read_text()
    assert metrics["verdict"]["label_blind"]["not_cleared"]
    for protocol, name in (("label_blind", "label-blind"), ("paper", "paper")):
        failed = ", ".join(control.replace("_", " ") for control in metrics["verdict"][protocol]["not_cleared"])
        line = f"{name}: does not clear: {failed}" if failed else f"{name}: clears all controls"
        assert line in shown
        assert f'<p class="verdict">{line}</p>' in page
    for control in CONTROLS:
        assert f"│ {control.replace('_', ' ')}" in shown
        assert f"<td>{control.replace('_', ' ')}</td>" in page
    value = metrics["protocols"]["paper"]["mean_recall_interval"]["95"]
    assert f"{100 * value[0]:.1f} to {100 * value[1]:.1f}" in shown


def test_the_controls_learn_from_the_model_s_own_training_movies(made: Path) -> None:
    model = load_model(made / "run")
    own = OmegaConf.load(made / "run" / "config.yaml")
    config = OmegaConf.create({"model": str(made / "run"), "executor": {"name": "inprocess"}})
    found = training_movies(config, model.classes, 3)
    expected = simulate_movies(own, "train", 32).take([32 * k + i for k in range(len(CLASSES)) for i in range(3)])
    np.testing.assert_array_equal(found.store.take(slice(None)).object_id, expected.object_id)
    np.testing.assert_array_equal(found.store.take(slice(None)).pixels, expected.pad(found.store.pixels.shape[1]).pixels)
    assert found.note == "3 movies a class, simulated with the config of the model's own run"


def test_outcomes_do_not_depend_on_the_order_of_the_movies(made: Path) -> None:
    model, folder = load_model(made / "run"), MovieFolder(made / "movies")
    movies = folder.take(np.arange(0, 60, 3))
    simulated = folder.take(np.arange(1, 60, 3))
    order = np.random.default_rng(0).permutation(20)
    found = []
    for store in (movies, movies.take(order)):
        parts = score_protocols(model, store, ["label_blind"], data="x", seed=4)
        parts |= score_controls(simulated, store, parts, model, protocol_seed=4, seed=1)
        found.append(parts)
    for key, part in found[0].items():
        np.testing.assert_allclose(part.probabilities[order], found[1][key].probabilities, atol=2e-6)


def test_the_headline_can_be_chosen_and_stands_alone(made: Path, tmp_path: Path) -> None:
    args = ["protocol=paper", "also=[]", "controls=false"]
    shares = "prevalence={supernova:0.1,rr_lyrae:0.1,eclipsing_binary:0.1,non_variable:0.6,asteroid:0.1}"
    done = skyreel("evaluate", f"model={made / 'run'}", f"input={made / 'movies'}", *args, shares, "hydra.run.dir=other", cwd=tmp_path)
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "other" / "metrics.json").read_text())
    assert (metrics["protocol"], list(metrics["protocols"])) == ("paper", ["paper"])
    assert not {"controls", "verdict"} & set(metrics)
    assert metrics["prevalence"]["non_variable"] == pytest.approx(0.6)
    assert "clear" not in done.out
    assert set(read_outcomes(tmp_path / "other" / "outcomes.parquet")) == {Key(str(made / "movies"), "paper")}


def test_without_supernovae_there_are_no_lengths_to_match(made: Path, tmp_path: Path) -> None:
    movies = MovieFolder(made / "movies").take(slice(None))
    write_shard(tmp_path / "stars.arrow", [movies.take(np.isin(movies.label, ["rr_lyrae", "non_variable"]))], {})
    args = [f"model={made / 'run'}", "input=stars.arrow", "controls=false"]
    done = skyreel("evaluate", *args, "hydra.run.dir=scored", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "Length-matched protocols are left out" in done.out
    assert list(json.loads((tmp_path / "scored" / "metrics.json").read_text())["protocols"]) == ["label_blind", "paper"]
    refused(skyreel("evaluate", *args, "protocol=length_matched_last", cwd=tmp_path), "protocol length_matched_last: no supernova")


def test_objects_without_images_are_counted(made: Path, tmp_path: Path) -> None:
    movies = MovieFolder(made / "movies").take(slice(None))
    mask = movies.frame_mask.copy()
    mask[[0, 13]] = False
    write_shard(tmp_path / "odd.arrow", [replace(movies, frame_mask=mask)], {})
    args = [f"model={made / 'run'}", "input=odd.arrow", "controls=false", "also=[]", "hydra.run.dir=scored"]
    done = skyreel("evaluate", *args, cwd=tmp_path)
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "scored" / "metrics.json").read_text())
    lost = {str(movies.label[k]): 1 for k in (0, 13)}
    assert (metrics["unscored"], metrics["n_objects"]) == (lost, 58)
    assert "Not scored, without a usable image: 1 " in done.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["protocol=label_blnd"], ["protocol: 'label_blnd'", "did you mean 'label_blind'", "use one of label_blind, paper"]),
        (["also=[papr]"], ["protocol: 'papr'", "did you mean 'paper'"]),
        (["protocol_seed=first"], ["protocol_seed: 'first'; use a whole number from 0 on"]),
        (["control_objects=1"], ["control_objects: 1; use a whole number from 2 on"]),
        (["prevalence=0.3"], ["prevalence: 0.3; give a share for every class"]),
        (["prevalence={supernova:-1}"], ["prevalence: {'supernova': -1}; give a share for every class"]),
        (["prevalence={supernova:0.5}"], ["prevalence: no share for asteroid, eclipsing_binary, non_variable, rr_lyrae"]),
        (["protocl=paper"], ["no option 'protocl'", "did you mean 'protocol'"]),
    ],
)
def test_wrong_options_of_an_evaluation(args: list[str], words: list[str], made: Path, tmp_path: Path) -> None:
    refused(skyreel("evaluate", f"model={made / 'run'}", f"input={made / 'movies'}", *args, cwd=tmp_path), *words)
    assert not list(tmp_path.rglob("metrics.json"))


# ------------------------------------------------------------------------------ models without, or with another, config


def alone(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "run" / "model", tmp_path / "lost" / "model")
    return tmp_path / "lost"


def test_a_model_without_a_config_says_what_its_controls_learn_from(made: Path, tmp_path: Path) -> None:
    folder = alone(made, tmp_path)
    config = OmegaConf.merge(OmegaConf.load(made / "run" / "config.yaml"), {"model": str(folder), "seed": 5})
    found = training_movies(config, load_model(folder).classes, 2)
    assert found.note == "2 movies a class, simulated with the config of this command, because the model comes without its own"
    expected = simulate_movies(config, "train", 2)
    np.testing.assert_array_equal(found.store.take(slice(None)).pixels, expected.pixels)


def test_a_model_of_a_folder_of_movies_has_controls_of_that_folder(made: Path, tmp_path: Path) -> None:
    folder = alone(made, tmp_path)
    write = {"input": str(made / "movies"), "seed": 2}
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(write)))
    config = OmegaConf.create({"model": str(folder), "executor": {"name": "inprocess"}})
    found = training_movies(config, CLASSES, 4)
    movies = MovieFolder(made / "movies")
    kept = movies.object_id[np.random.default_rng(2).permutation(60)[12:]]  # 80 %: what is neither validation nor test
    names = found.store.take(slice(None)).object_id
    assert set(names) <= set(kept)
    assert {name: int((found.store.label == name).sum()) for name in CLASSES} == dict.fromkeys(CLASSES, 4)
    (folder / "config.yaml").write_text("input: gone\nseed: 2\n")
    refused(
        skyreel("evaluate", f"model={folder}", f"input={made / 'movies'}", "also=[]", cwd=tmp_path),
        "movies for the controls: the model was trained on input=gone, which is not there",
        "controls=false",
    )


def test_a_config_that_cannot_be_read_is_named(made: Path, tmp_path: Path) -> None:
    folder = alone(made, tmp_path)
    for text in ("seed: [1,\n", "seed: soon\n"):
        (folder / "config.yaml").write_text(text)
        done = skyreel("evaluate", f"model={folder}", f"input={made / 'movies'}", "also=[]", cwd=tmp_path)
        refused(done, "config of the model", "config.yaml", "it cannot be read", "controls=false")


@pytest.mark.real_data
def test_the_bright_subset_and_duplicates_of_a_data_set(made: Path, data_dir: Path, tmp_path: Path) -> None:
    args = [f"model={made / 'run'}", "dataset=hits2015a", f"dataset.path={data_dir / 'hits2015a'}", "controls=false", "also=[paper]"]
    done = skyreel("evaluate", *args, "hydra.run.dir=real", cwd=tmp_path)
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "real" / "metrics.json").read_text())
    assert metrics["counts"] == {"supernova": 49, "rr_lyrae": 67, "eclipsing_binary": 46, "non_variable": 296}
    bright = metrics["bright"]["counts"]["supernova"]
    assert 0 < bright <= 25  # of the authors' 41, 25 lie in the development fields
    assert f"bright: {bright} of 49 SN" in done.out
    part = read_outcomes(tmp_path / "real" / "outcomes.parquet")[Key("hits2015a", "paper")]
    assert int((part.bright & (part.label == "supernova")).sum()) == bright
    assert part.bright[part.label != "supernova"].all()
    assert len(set(part.group)) < len(set(part.object_id))

"""`skyreel finetune`: which objects are shown, what moves and what must not, what a run leaves behind."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf
from safetensors.numpy import load_file
from verb_runs import CLASSES, refused, skyreel

from skyreel.datasets import load_dataset
from skyreel.datasets.draws import Draw
from skyreel.errors import ConfigError, DataError
from skyreel.evaluate import controls
from skyreel.evaluate.outcomes import Key, read_outcomes
from skyreel.evaluate.protocols import PROTOCOLS
from skyreel.interfaces import TrainerOptions
from skyreel.models import load_model
from skyreel.movie_files import MovieFolder, write_shard
from skyreel.verbs.finetune import Setting, fine_tune, load_fresh
from skyreel.verbs.finetune_data import Labelled, Simulated, drawn_examples, labelled_movies

QUICK = ["per_class=3", "replay_objects=8", "n_test=8", "trainer.max_steps=4", "trainer.batch_size=10", "trainer.threads=1"]
FEW_PROTOCOLS = ["protocol=paper", "also=[]"]
AVERAGES = ("running_mean", "running_std", "_extra_state")


def tune(made: Path, folder: Path, *more: str, movies: str | Path | None = None):
    """A short fine-tuning of the shared tiny network into `folder`/tuned."""
    read = [] if any(text.startswith("dataset=") for text in more) else [f"input={movies or made / 'movies'}"]
    return skyreel("finetune", f"model={made / 'run'}", *read, *QUICK, "hydra.run.dir=tuned", *more, cwd=folder)


@pytest.fixture(scope="module")
def tuned(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two draws under all protocols, with controls."""
    folder = tmp_path_factory.mktemp("finetune")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controls, "TREES", 10)
        done = tune(made, folder, "draws=2", "seed=3", "controls=true", "control_objects=12")
    assert done.code == 0, done.err + done.out
    return folder / "tuned"


@pytest.fixture(scope="module")
def metrics(tuned: Path) -> dict:
    return json.loads((tuned / "metrics.json").read_text())


# ------------------------------------------------------------------------------------------------ a whole run


def test_chosen_objects_are_named_and_never_scored(made, tuned):
    record = json.loads((tuned / "draws.json").read_text())
    names = set(MovieFolder(made / "movies").object_id.tolist())
    chosen = [{name for part in draw["chosen"].values() for name in part} for draw in record["draws"]]
    assert [{label: len(part) for label, part in draw["chosen"].items()} for draw in record["draws"]] == [
        dict.fromkeys(sorted(CLASSES), 3)
    ] * 2
    assert chosen[0] != chosen[1]
    outcomes = read_outcomes(tuned / "outcomes.parquet")
    for key, part in outcomes.items():
        if key.data != "simulated test":
            assert set(part.object_id.tolist()) == names - chosen[key.draw], key


def test_the_model_is_scored_on_the_same_objects_before_and_after(made, tuned):
    outcomes = read_outcomes(tuned / "outcomes.parquet")
    sets = [(str(made / "movies"), protocol) for protocol in PROTOCOLS] + [("simulated test", "paper")]
    assert {key.model for key in outcomes} == {"model", "fine-tuned", *controls.CONTROLS}
    for data, protocol in sets:
        for k in (0, 1):
            before, after = (outcomes[Key(data, protocol, model, k)] for model in ("model", "fine-tuned"))
            for column in ("object_id", "n_images", "mjd", "alert", "bright"):
                np.testing.assert_array_equal(getattr(before, column), getattr(after, column))
            assert not np.array_equal(before.last(), after.last())


def test_metrics_hold_mean_and_spread_over_the_draws(tuned, metrics):
    outcomes = read_outcomes(tuned / "outcomes.parquet")
    row = metrics["protocols"]["paper"]
    for part, model in (("before", "model"), ("after", "fine-tuned")):
        each = []
        for k in (0, 1):
            found = outcomes[Key(metrics["data"], "paper", model, k)]
            right = found.after(3).argmax(axis=1) == found.truth
            each.append(np.mean([right[found.label == name].mean() for name in CLASSES]))
        assert [item["by_n_images"]["3"]["mean_recall"] for item in row[part]["each"]] == pytest.approx(each)
        assert row[part]["mean"]["by_n_images"]["3"]["mean_recall"] == pytest.approx(np.mean(each))
        assert row[part]["spread"]["by_n_images"]["3"]["mean_recall"] == pytest.approx(np.std(each, ddof=1))
    assert row["difference"]["value"] == pytest.approx(row["after"]["mean"]["mean_recall"] - row["before"]["mean"]["mean_recall"])
    assert set(metrics["simulated"]["after"]["mean"]["recall"]) == set(CLASSES)
    assert metrics["protocol"] == "label_blind"
    assert metrics["mean_recall"] == metrics["protocols"]["label_blind"]["after"]["mean"]["mean_recall"]
    assert set(metrics["verdict"]["controls"]) == set(controls.CONTROLS)


def test_normalisation_statistics_are_those_of_the_model_to_the_bit(made, tuned, metrics):
    before = load_file(made / "run" / "model" / "weights.safetensors")
    for k in (0, 1):
        after = load_file(tuned / f"draw{k}" / "model" / "weights.safetensors")
        assert set(after) == set(before)
        averages = [name for name in before if name.endswith(AVERAGES)]
        assert len(averages) == 3 * 3  # mean, deviation and number of batches of each of three layers
        assert all(np.array_equal(before[name], after[name]) for name in averages)
        assert all(not np.array_equal(before[name], after[name]) for name in before if name.startswith(("lstm", "head")))
    assert [figures["statistics_moved"] for figures in metrics["training"]] == [False, False]


def test_the_last_state_is_kept_and_nothing_is_validated(tuned, metrics):
    assert [figures["step"] for figures in metrics["training"]] == [4, 4]
    for k in (0, 1):
        assert json.loads((tuned / f"draw{k}" / "history.json").read_text())["valid"] == []
        assert not (tuned / f"draw{k}" / "checkpoints").exists()


def test_a_fine_tuned_model_serves_every_verb(made, tuned, good, tmp_path):
    model = load_model(tuned / "draw1")
    assert model.predict(good).probabilities.shape[2] == len(CLASSES)
    done = skyreel("classify", f"model={tuned / 'draw1'}", f"input={made / 'movies'}", "output=p.parquet", cwd=tmp_path)
    assert done.code == 0, done.err
    own, parent = (OmegaConf.load(folder / "config.yaml") for folder in (tuned / "draw1", made / "run"))
    assert own == parent  # so that a second round, and the controls, simulate movies like those of the training


def test_report_and_terminal_say_what_was_done(made, tuned, tmp_path):
    page = (tuned / "report.html").read_text()
    assert page.count("data:image/png") == 3
    assert "2 independent draws of 3 objects per class" in page
    done = tune(made, tmp_path, *FEW_PROTOCOLS, "draws=1", "keep_models=false")
    assert done.code == 0, done.err
    assert "Fine-tuned on 3 objects per class" in done.out
    assert "Recall on simulated movies after the last image" in done.out
    assert not (tmp_path / "tuned" / "draw0" / "model").exists()
    assert json.loads((tmp_path / "tuned" / "metrics.json").read_text())["protocols"]["paper"]["after"]["spread"]["mean_recall"] is None


def test_a_draw_does_not_depend_on_the_number_of_draws(made, tuned, tmp_path):
    done = tune(made, tmp_path, *FEW_PROTOCOLS, "draws=1", "seed=3")
    assert done.code == 0, done.err
    ours, theirs = (load_file(folder / "draw0" / "model" / "weights.safetensors") for folder in (tmp_path / "tuned", tuned))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


# ------------------------------------------------------------------------------------- what a draw may depend on


def test_labels_of_other_objects_change_nothing(made, tmp_path):
    """A draw is a function of the chosen movies: whatever the others are called, the model is the same to the bit."""
    folder = MovieFolder(made / "movies")
    movies = folder.take(np.arange(len(folder)))
    chosen = np.arange(len(movies)) % 4 == 0
    others = movies.label.copy()
    others[~chosen] = np.random.default_rng(0).permutation(others[~chosen])
    assert (others != movies.label).mean() > 0.4
    trainer = TrainerOptions(max_steps=3, batch_size=10, threads=1, progress=False, accelerator="cpu")
    weights = []
    for number, label in enumerate((movies.label, others)):
        config = OmegaConf.create({"model": str(made / "run"), "seed": 5, "adapt": {}, "keep_models": True})
        store = replace(movies, label=label)
        data = Labelled(store, "toys", movies.object_id, movies.object_id, np.ones(len(movies), bool), {}, {}, {})
        setting = Setting(data, ("paper",), 0, np.array([5]), Simulated(movies.take(slice(0, 60, 2)), movies, {}, ""))
        fine_tune(load_fresh(config), setting, Draw(chosen, ~chosen), 0, tmp_path / str(number), config, trainer)
        weights.append((tmp_path / str(number) / "draw0" / "model" / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_movies_of_one_object_stay_on_one_side(good):
    label = np.array(["asteroid"] * 8 + ["supernova"] * 6)
    group = np.array(["a", "a", "b", "c", "c", "d", "e", "f", *"uvwxyz"])
    names = np.array([f"m{k}" for k in range(14)])
    data = Labelled(SimpleNamespace(label=label), "toys", names, group, np.ones(14, bool), {}, {}, {})
    for draw in drawn_examples(data, 4, 20, 1):
        assert not set(group[draw.chosen]) & set(group[draw.rest])
        assert (draw.chosen & (label == "asteroid")).sum() == 4
    with pytest.raises(DataError, match=r"per_class=6: toys has 6 objects of class 'asteroid', and one more.*lower per_class"):
        drawn_examples(data, 6, 1, 0)


@pytest.mark.real_data
def test_real_objects(made, data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("SKYREEL_TEST_DATA", str(data_dir))
    done = tune(made, tmp_path, "dataset=hits2015a", "per_class=10", "draws=1", *FEW_PROTOCOLS, "trainer.max_steps=1")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "tuned" / "draws.json").read_text())["draws"][0]
    found = load_dataset("hits2015a")
    group = dict(zip(found.movies.object_id.tolist(), found.group.tolist(), strict=True))
    chosen = [group[name] for part in record["chosen"].values() for name in part]
    left_out = [name for part in record["duplicates_left_out"].values() for name in part]
    assert len(set(chosen)) == len(chosen) == 40
    assert record["scored"] == len(found) - 40 - len(left_out)
    scored = read_outcomes(tmp_path / "tuned" / "outcomes.parquet")[Key("hits2015a", "paper", "fine-tuned", 0)]
    assert not set(scored.group.tolist()) & set(chosen)
    assert 0 < (~scored.bright).sum() < (scored.label == "supernova").sum()


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["input=null"], ("neither input nor dataset",)),
        (["per_class=12"], ("per_class=12", "has 12 objects of class 'asteroid'", "lower per_class")),
        (["per_class=0"], ("per_class", "from 1 on")),
        (["draws=0"], ("draws", "from 1 on")),
        (["replay_objects=-1"], ("replay_objects", "from 0 on")),
        (["protocol=papr"], ("protocol", "'papr'", "paper")),
        (["+adapt.lstm=3"], ("adapt.lstm", "belongs to the training", "replay_share")),
        (["+adapt.replay_shar=0.3"], ("no option 'replay_shar'", "did you mean 'replay_share'")),
        (["+adapt.replay_share=2"], ("replay_share", "[0, 1)")),
        (["trainer.max_steps=0"], ("trainer.max_steps",)),
        (["model=nothing"], ("nothing", "no such folder")),
        (["model=null"], ("model", "not given")),
        (["dataset=hits2015a"], ("both input and dataset",)),
        (["prevalence=3"], ("prevalence",)),
    ],
)
def test_wrong_options_are_named(made, tmp_path, more, words):
    done = skyreel("finetune", f"model={made / 'run'}", f"input={made / 'movies'}", *QUICK, "hydra.run.dir=tuned", *more, cwd=tmp_path)
    refused(done, *words)
    assert not (tmp_path / "tuned" / "metrics.json").exists()


def test_a_classifier_without_fine_tuning_says_so(made, monkeypatch):
    from skyreel.interfaces import Classifier
    from skyreel_rcnn.classifier import RCNN

    monkeypatch.setattr(RCNN, "finetune", Classifier.finetune)
    config = OmegaConf.create({"model": str(made / "run"), "adapt": {}})
    with pytest.raises(ConfigError, match=r"fine-tuning .*run: classifier RCNN does not offer it; choose a model of another"):
        load_fresh(config)


def test_a_second_run_in_the_same_folder_is_refused(made, tuned):
    done = tune(made, tuned.parent)
    refused(done, "it holds an earlier run")


def relabelled(made: Path, folder: Path, function) -> Path:
    source = MovieFolder(made / "movies")
    movies = source.take(np.arange(len(source)))
    write_shard(folder / "movies" / "all.arrow", [function(movies)], {})
    return folder / "movies"


def test_labels_that_the_model_does_not_know_are_left_out(made, tmp_path):
    movies = relabelled(made, tmp_path, lambda part: replace(part, label=np.where(part.label == "asteroid", "quasar", part.label)))
    config = OmegaConf.create({"input": str(movies), "dataset": {"name": "none"}})
    data = labelled_movies(config, CLASSES)
    assert (data.strange, len(data.label), "asteroid" in data.label) == ({"quasar": 12}, 48, False)
    with pytest.raises(DataError, match=r"labels 'eclipsing_binary', .*this model knows galaxy"):
        labelled_movies(config, ("galaxy",))


def test_movies_without_a_usable_image_are_left_out_and_counted(made, tmp_path):
    def blank(part):
        mask = part.frame_mask.copy()
        mask[np.flatnonzero(part.label == "supernova")[:5]] = False
        return replace(part, frame_mask=mask)

    data = labelled_movies(OmegaConf.create({"input": str(relabelled(made, tmp_path, blank)), "dataset": {"name": "none"}}), CLASSES)
    assert data.blank == {"supernova": 5}
    assert (data.label == "supernova").sum() == 7


def test_two_movies_of_one_name_are_refused(made, tmp_path):
    movies = relabelled(made, tmp_path, lambda part: replace(part, object_id=np.where(np.arange(60) < 3, "same", part.object_id)))
    with pytest.raises(DataError, match=r"object 'same' is there 3 times; give every movie a name"):
        labelled_movies(OmegaConf.create({"input": str(movies), "dataset": {"name": "none"}}), CLASSES)


def test_a_forest_grows_again_on_the_augmented_set(made, tmp_path):
    """The same verb, the paper's other classifier: its whole training set and a hundred copies of every real movie."""
    train = ["experiment=quickstart", "classifier=forest", "executor=inprocess", "source=[non_variable,asteroid]", "trainer.progress=false"]
    done = skyreel("train", *train, "n_objects=12", "n_valid=8", "n_test=8", "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 0, done.err
    run = ["finetune", "model=run", f"input={made / 'movies'}", "per_class=2", "draws=1", *FEW_PROTOCOLS]
    done = skyreel(*run, "hydra.run.dir=tuned", cwd=tmp_path)
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "tuned" / "metrics.json").read_text())
    assert metrics["simulated_movies"].endswith("per class 12 to mix in and 8 to score")
    assert set(metrics["labels_left_out"]) == set(CLASSES) - {"non_variable", "asteroid"}
    before, after = (load_file(tmp_path / folder / "model" / "trees.safetensors") for folder in ("run", "tuned/draw0"))
    assert any(before[name].shape != after[name].shape or not np.array_equal(before[name], after[name]) for name in before)
    refused(skyreel(*run, "hydra.run.dir=none", "replay_objects=0", cwd=tmp_path), "fine-tuning a forest", "no simulated movies")

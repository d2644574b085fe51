"""Composing configs, and recording what a run was made with."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from skyreel.cli import RUN_VERBS
from skyreel.errors import ConfigError, OutputError, PluginError
from skyreel.hydra_glue import compose, config_hash, provenance, write_provenance
from skyreel.interfaces import CLASSES
from skyreel.plugin import conf_dir, plugins


@pytest.mark.parametrize("verb", RUN_VERBS)
def test_every_run_verb_composes_the_same_groups(verb: str) -> None:
    groups = {key for key, value in compose("train").items() if OmegaConf.is_dict(value)}
    assert groups == {
        "survey",
        "source",
        "psf",
        "host",
        "detector",
        "simulation",
        "sequence",
        "classifier",
        "trainer",
        "dataset",
        "executor",
        "stamp",
    }
    own = {"trainer"} if verb == "finetune" else set()  # a fine-tuning is another training
    config = compose(verb)
    assert {key: config[key] for key in groups - own} == {key: compose("train")[key] for key in groups - own}
    assert set(compose("train")) <= set(config)


def test_every_experiment_fits_every_verb() -> None:
    experiments = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
    assert "quickstart" in experiments
    for experiment in experiments:
        for verb in RUN_VERBS:
            compose(verb, [f"experiment={experiment}"])


def test_an_experiment_has_the_last_word_but_the_command_line() -> None:
    assert compose("train", ["experiment=quickstart"]).classifier.dense == compose("train", ["classifier=rcnn_tiny"]).classifier.dense
    assert compose("train", ["experiment=quickstart", "n_objects=7"]).n_objects == 7
    assert compose("train", ["experiment=quickstart", "trainer=default"]).trainer.max_steps == 30_000


def test_top_level_keys() -> None:
    config = compose("train")
    assert (config.seed, config.n_objects, config.stamp.size) == (0, 2000, 21)
    assert [config[key] for key in ("output", "input", "model", "resume", "n_valid", "n_test")] == [None] * 6
    assert config.dataset.name == "none"
    assert "experiment" not in config


def test_source_is_a_list_group() -> None:
    assert list(compose("train", ["source=[supernova,asteroid]"]).source) == ["supernova", "asteroid"]
    twice = compose("train", ["+source@source.my_rr=rr_lyrae", "source.my_rr.host_fraction=0.5"]).source
    assert list(twice) == [*CLASSES, "my_rr"]
    assert (twice.my_rr.name, twice.my_rr.host_fraction, twice.rr_lyrae.host_fraction) == ("rr_lyrae", 0.5, 0.05)
    assert plugins().registry.create("source", twice.my_rr).host_fraction == 0.5


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("classifier.desne=3", ConfigError, "classifier 'rcnn' has no option 'desne'.*did you mean 'dense'"),
        ("source.supernova.redshift_mx=1", ConfigError, "source 'supernova' has no option 'redshift_mx'.*'redshift_max'"),
        ("n_objets=3", ConfigError, "the config has no option 'n_objets'.*did you mean 'n_objects'"),
        ("stamp.sise=3", ConfigError, "stamp has no option 'sise'.*did you mean 'size'"),
        ("source.quasar.z=3", ConfigError, "no option 'quasar'"),
        ("survey=hist", PluginError, "no survey 'hist'.*have hits.*did you mean 'hits'"),
        ("source=[supernova,asteriod]", PluginError, "no source 'asteriod'.*did you mean 'asteroid'"),
        ("+source=asteriod", PluginError, "no source 'asteriod'.*did you mean 'asteroid'"),
        ("trainer=quikc", ConfigError, "no trainer 'quikc'.*did you mean 'quick'"),
        ("experiment=quickstar", ConfigError, "no experiment 'quickstar'.*did you mean 'quickstart'"),
        ("seed=[", ConfigError, "skyreel VERB --help"),
    ],
)
def test_mistakes_are_explained(override: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        compose("train", [override])


def test_compose_can_be_called_again() -> None:
    assert compose("train", ["seed=1"]).seed == 1
    assert compose("simulate").seed == 0


def test_config_hash_depends_on_values_alone() -> None:
    first = config_hash(compose("train"))
    assert len(first) == 12
    assert first == config_hash(compose("simulate"))
    assert first == config_hash(compose("train", ["output=somewhere"]))
    assert first != config_hash(compose("train", ["seed=1"]))
    assert config_hash({"a": 1, "b": {"c": 2, "d": 3}}) == config_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert config_hash(OmegaConf.create({"a": 1, "b": "${a}"})) == config_hash({"a": 1, "b": 1})


def test_provenance_names_versions_and_plugins() -> None:
    import numpy
    import torch

    found = provenance()
    assert found["versions"]["numpy"] == numpy.__version__
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"python", "skyreel", "galsim", "pytorch-lightning"} <= set(found["versions"])
    assert None not in found["versions"].values()
    assert found["plugins"]["hits"].startswith("skyreel ")
    commit = found["git_commit"]
    assert commit is None or len(commit.rstrip("+")) == 40


def test_write_provenance(tmp_path: Path) -> None:
    config = compose("train", ["output=there"])
    write_provenance(tmp_path / "new" / "run", config)
    again = OmegaConf.load(tmp_path / "new" / "run" / "config.yaml")
    assert again == config
    record = json.loads((tmp_path / "new" / "run" / "run.json").read_text())
    assert record["config_hash"] == config_hash(again)
    assert record["versions"] == provenance()["versions"]


def test_a_run_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="run folder.*hydra.run.dir"):
        write_provenance(tmp_path / "file" / "run", {})

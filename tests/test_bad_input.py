"""Mistakes and damage as the user meets them: one line, an exit code, nothing half-written."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from verb_runs import SIMULATE, TRAIN, Done, left, refused, skyreel

from skyreel.movie_files import write_shard
from skyreel.movies import Movies

# ---------------------------------------------------------------------------- unknown plugin, option, type


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("survey=hist", ["no survey 'hist'", "have hits", "did you mean 'hits'"]),
        ("+source=asteriod", ["no source 'asteriod'", "did you mean 'asteroid'"]),
        ("psf.name=mofat", ["no psf 'mofat'", "have empirical, gaussian, moffat"]),
        ("survey.max_seing=1", ["survey 'hits' has no option 'max_seing'", "options are", "did you mean 'max_seeing'"]),
        ("n_objets=3", ["no option 'n_objets'", "did you mean 'n_objects'"]),
        ("survey=3", ["config: Config group override must be a string", "choose by name"]),
        ("source=[]", ["source: no class", "name at least one"]),
        ("survey.max_seeing=good", ["option 'max_seeing'", "'good'", "Float", "give it a value of the right type"]),
        ("n_objects=many", ["n_objects: 'many'; use a whole number from 1 on"]),
        ("n_objects=1.5", ["n_objects: 1.5; use a whole number from 1 on"]),
        ("n_objects=0", ["n_objects: 0; use a whole number from 1 on"]),
        ("seed=abc", ["seed: 'abc'; use a whole number from 0 on"]),
        ("seed=null", ["seed: None; use a whole number from 0 on"]),
        ("stamp=21", ["stamp: 21; give stamp.size=21 for stamps of 21 px"]),
        ("stamp.size=3", ["stamp.size: 3; use a whole number of pixels from 7 to 256"]),
        ("executor.name=slurm", ["executor.name: 'slurm'; use inprocess or processes"]),
        ("executor.workers=two", ["executor, option 'workers'", "'two'", "Integer"]),
        ("output=", ["output: no folder given; name one"]),
    ],
)
def test_wrong_options_of_a_simulation(override: str, words: list[str], tmp_path: Path) -> None:
    refused(skyreel(*SIMULATE, override, cwd=tmp_path), *words)
    assert left(tmp_path) == set()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("classifier=rccn", ["no classifier 'rccn'", "rcnn, rcnn_small", "did you mean 'rcnn'"]),
        ("classifier.desne=3", ["classifier 'rcnn' has no option 'desne'", "did you mean 'dense'"]),
        ("classifier.dense=many", ["classifier 'rcnn', option 'dense'", "'many'", "Integer"]),
        ("trainer.max_steps=soon", ["trainer, option 'max_steps'", "'soon'", "Integer"]),
        ("trainer.schedule=linear", ["trainer.schedule: 'linear'; use one of constant, cosine"]),
        ("sequence.conditions=[moon]", ["sequence.conditions: 'moon'; use any of"]),
        ("n_valid=some", ["n_valid: 'some'; use a whole number from 1 on"]),
        ("n_test=0", ["n_test: 0; use a whole number from 1 on"]),
        ("input=nowhere", ["movies nowhere: no such file; check the path"]),
        ("resume=nowhere", ["resume: other options beside it", "leave them out: the run has its own config"]),
        ("dataset=hits2015a", ["training on dataset=hits2015a", "score the model on it afterwards"]),
        ("trainer.accelerator=abacus", ["trainer.accelerator: 'abacus'; use one of auto, cpu, gpu"]),
        ("trainer.max_steps=0", ["trainer.max_steps: 0; it must be at least 1"]),
        ("classifier.dense=-1", ["classifier.dense: -1; it must be at least 1"]),
        ("classifier.device=abacus", ["classifier.device: 'abacus'; use one of auto, cpu"]),
    ],
)
def test_wrong_options_of_a_training(override: str, words: list[str], tmp_path: Path) -> None:
    refused(skyreel(*TRAIN, override, "hydra.run.dir=run", cwd=tmp_path), *words)
    assert not (tmp_path / "run" / "model").exists()
    assert not list(tmp_path.rglob("*.part"))


def test_resume_names_a_run(tmp_path: Path) -> None:
    refused(skyreel("train", "resume=nowhere", cwd=tmp_path), "run nowhere: no config.yaml in it; name the folder of an interrupted")


def test_a_damaged_config_of_a_run_to_resume(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: [1,\n")
    refused(skyreel("train", "resume=run", cwd=tmp_path), "run run: config.yaml cannot be read", "train anew")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["classify", "output=p.parquet"], ["model: not given; for example model=runs/train/"]),
        (["classify", "model=MODEL", "input=MOVIES"], ["output: not given", "output=probabilities.parquet"]),
        (["classify", "model=MODEL", "output=p.parquet"], ["neither input nor dataset; give input=FOLDER"]),
        (["evaluate", "model=MODEL", "input=MOVIES", "dataset=hits2015a"], ["both input and dataset; give input=FOLDER or"]),
        (["evaluate", "model=MODEL", "dataset=hits"], ["no dataset 'hits'", "have hits2015a", "none"]),
        (["evaluate", "model=MODEL", "dataset=hits2015a", "dataset.path=gone"], ["data set 'hits2015a': no folder gone", "hand in path"]),
        (["evaluate", "model=MODEL", "dataset=hits2015a", "dataset.path=."], ["conditions.ecsv: there is no such file", "restore"]),
    ],
)
def test_verbs_without_what_they_need(args: list[str], words: list[str], made: Path, tmp_path: Path) -> None:
    places = {"MODEL": str(made / "run"), "MOVIES": str(made / "movies")}
    filled = [f"{key}={places.get(value, value)}" if value else key for key, _, value in (arg.partition("=") for arg in args)]
    refused(skyreel(*filled, cwd=tmp_path), *words)
    assert left(tmp_path) == set()


# ------------------------------------------------------------------------------------- files that are no movies


def test_missing_and_empty_places(classify: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(classify("gone.arrow"), "movies gone.arrow: no such file; check the path")
    refused(classify("empty"), "movies empty: a folder without .arrow files; run `skyreel simulate output=...` first")
    assert left(tmp_path) == {"empty"}


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.5, 0.999])
def test_truncated_files(part: float, made: Path, classify: Callable[..., Done], tmp_path: Path) -> None:
    whole = next((made / "movies").glob("*.arrow")).read_bytes()
    (tmp_path / "cut.arrow").write_bytes(whole[: int(part * len(whole))])
    refused(classify("cut.arrow"), "movies cut.arrow: not a whole Arrow file", "simulate or copy it again")
    assert left(tmp_path) == {"cut.arrow"}


def rewrite(movies: Movies, path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """A shard in which `change` has altered the table."""
    write_shard(path, [movies], {})
    with pa.OSFile(str(path), "rb") as file:
        table = change(pa.ipc.open_file(file).read_all())
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def head(**values: str) -> Callable[[pa.Table], pa.Table]:
    """A change of the schema's metadata; '' takes an entry out."""

    def change(table: pa.Table) -> pa.Table:
        metadata = {**table.schema.metadata, **{f"skyreel.{key}".encode(): value.encode() for key, value in values.items()}}
        return table.replace_schema_metadata({key: value for key, value in metadata.items() if value})

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (head(schema_version="2"), ["schema version 2, this skyreel reads 1; use the skyreel that wrote it"]),
        (head(schema_version=""), ["an Arrow file that skyreel did not write; convert it"]),
        (head(bands=""), ["a damaged file ('skyreel.bands')"]),
        (head(metadata='{"config": '), ["a damaged file", "simulate or copy it again"]),
        (head(stamp="[1, 20, 21]"), ["column pixels, row 0:", "frames of 420 were announced"]),
        (lambda table: table.drop(["reported.sky", "true.host"]), ["no column reported.sky, true.host"]),
        (lambda table: table.set_column(3, "n_frames", [pa.array([99] * len(table), pa.int32())]), ["99 frames"]),
    ],
)
def test_files_that_contradict_themselves(
    change: Callable[[pa.Table], pa.Table], words: list[str], good: Movies, classify: Callable[..., Done], tmp_path: Path
) -> None:
    rewrite(good, tmp_path / "odd.arrow", change)
    refused(classify("odd.arrow"), "movies odd.arrow: ", *words)
    assert left(tmp_path) == {"odd.arrow"}


def test_shards_of_different_stamps(good: Movies, classify: Callable[..., Done], tmp_path: Path) -> None:
    write_shard(tmp_path / "set" / "a.arrow", [good], {})
    write_shard(tmp_path / "set" / "b.arrow", [cropped(good)], {})
    refused(classify("set"), "movies set: shards that differ in bands or stamps", "keep one kind a folder")


@pytest.mark.parametrize("where", [range(0, 3000, 60), range(-6000, 0, 120)])
def test_no_flipped_bit_crashes_or_loops(where: range, good: Movies, tmp_path: Path) -> None:
    """Whatever bit of the description is flipped: movies or one of our errors, never a crash inside Arrow."""
    pytest.importorskip("resource")
    write_shard(tmp_path / "good.arrow", [good], {})
    whole = (tmp_path / "good.arrow").read_bytes()
    reader = (
        "import sys, resource, numpy\nfrom pathlib import Path\nfrom skyreel.errors import SkyreelError\n"
        "from skyreel.movie_files import MovieFile\nresource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.arrow')):\n    try:\n        file = MovieFile(path)\n"
        "        file.take(numpy.arange(len(file)))\n    except SkyreelError:\n        pass\n"
    )
    (tmp_path / "bits").mkdir()
    for k, place in enumerate(where):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (k % 8)
        (tmp_path / "bits" / f"{k}.arrow").write_bytes(damaged)
    done = subprocess.run([sys.executable, "-c", reader, str(tmp_path / "bits")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --------------------------------------------------------------------------------------------- unusable movies


def cropped(movies: Movies) -> Movies:
    return replace(movies, pixels=movies.pixels[..., :15, :15], pixel_mask=movies.pixel_mask[..., :15, :15])


def with_pixel(value: float) -> Callable[[Movies], Movies]:
    def change(movies: Movies) -> Movies:
        pixels = movies.pixels.astype(np.float32)
        pixels[3, 1, 0, 5, 5] = value
        return replace(movies, pixels=pixels)

    return change


def with_mjd(change: Callable[[np.ndarray], None]) -> Callable[[Movies], Movies]:
    def apply(movies: Movies) -> Movies:
        mjd = movies.reported.mjd.copy()
        change(mjd)
        return replace(movies, reported=movies.reported.replace(mjd=mjd))

    return apply


def swap(mjd: np.ndarray) -> None:
    mjd[4, [1, 2]] = mjd[4, [2, 1]]


def repeat(mjd: np.ndarray) -> None:
    mjd[4, 2] = mjd[4, 1]


def lose(mjd: np.ndarray) -> None:
    mjd[4, 2] = np.nan


def emptied(movies: Movies) -> Movies:
    mask = movies.frame_mask.copy()
    mask[2] = False
    return replace(movies, frame_mask=mask)


def in_band_r(movies: Movies) -> Movies:
    return replace(movies, reported=replace(movies.reported, bands=("r",)), truth=None)


def beyond_bands(movies: Movies) -> Movies:
    return replace(movies, reported=movies.reported.replace(band=movies.reported.band + 3), truth=None)


UNUSABLE = {
    "nan": (with_pixel(np.nan), ["pixels: NaN in object", "frame 1; set those pixels in pixel_mask"]),
    "infinite": (with_pixel(np.inf), ["pixels: NaN in object", "frame 1; set those pixels in pixel_mask"]),
    "shape": (cropped, ["(1, 15, 15)", "this model asks for (1, 21, 21)", "cut the stamps to 21 px"]),
    "empty": (emptied, ["an empty sequence; every object needs at least one exposure"]),
    "unsorted": (with_mjd(swap), ["exposures.mjd: object '", "epoch 2", "does not follow", "sort the frames by MJD"]),
    "duplicate": (with_mjd(repeat), ["exposures.mjd: object '", "epoch 2", "does not follow", "drop duplicates"]),
    "no date": (with_mjd(lose), ["exposures.mjd: NaN or infinite values; mask those frames"]),
    "strange band": (in_band_r, ["images in r", "this model knows g", "mask those frames"]),
    "band out of range": (beyond_bands, ["exposures.band: index 3..3; bands are g"]),
}


# an object without images is no error for `evaluate`: it is left out and counted (test_evaluate_verb.py)
@pytest.mark.parametrize(
    ("verb", "kind"), [(verb, kind) for verb in ("classify", "evaluate") for kind in UNUSABLE if (verb, kind) != ("evaluate", "empty")]
)
def test_unusable_movies(kind: str, verb: str, made: Path, good: Movies, tmp_path: Path) -> None:
    change, words = UNUSABLE[kind]
    write_shard(tmp_path / "odd.arrow", [change(good)], {})
    output = ["output=p.parquet"] if verb == "classify" else []
    refused(skyreel(verb, f"model={made / 'run'}", "input=odd.arrow", *output, cwd=tmp_path), *words)
    assert left(tmp_path) == {"odd.arrow"}
    assert not [path for name in ("metrics.json", "report.html", "*.part") for path in tmp_path.rglob(name)]


@pytest.mark.parametrize("kind", ["nan", "empty", "unsorted", "duplicate", "no date", "band out of range"])
def test_training_on_unusable_movies(kind: str, good: Movies, tmp_path: Path) -> None:
    change, words = UNUSABLE[kind]
    write_shard(tmp_path / "odd.arrow", [change(good)], {})
    done = skyreel(*TRAIN, "input=odd.arrow", "trainer.batch_size=8", "hydra.run.dir=run", cwd=tmp_path)
    refused(done, "movies to train on: ", words[0].split(" object")[0])  # rows are counted in another order here
    assert not (tmp_path / "run" / "model").exists()


def test_labels_nobody_knows(made: Path, good: Movies, tmp_path: Path) -> None:
    write_shard(tmp_path / "quasars.arrow", [replace(good, label=np.array(["quasar"] * len(good)))], {})
    done = skyreel("evaluate", f"model={made / 'run'}", "input=quasars.arrow", cwd=tmp_path)
    refused(done, "labels 'quasar'", "this model knows supernova, rr_lyrae")
    write_shard(tmp_path / "nameless.arrow", [replace(good, label=np.array([""] * len(good)))], {})
    done = skyreel(*TRAIN, "input=nameless.arrow", cwd=tmp_path)
    refused(done, "training: movies without a label; label every movie")


# ---------------------------------------------------------------------------------------------- damaged models


def description(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def flip(folder: Path) -> None:
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-100] ^= 1
    (folder / "weights.safetensors").write_bytes(data)


def cut(folder: Path) -> None:
    (folder / "model.json").write_bytes((folder / "model.json").read_bytes()[:200])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flip, ["weights.safetensors is damaged: its SHA-256 is not the one in model.json; copy the model again"]),
        (cut, ["model.json cannot be read", "copy the model again"]),
        (lambda folder: (folder / "weights.safetensors").unlink(), ["weights.safetensors: no such file; name the folder"]),
        (lambda folder: (folder / "model.json").unlink(), ["no model.json in it or in its model/; name the folder of a finished"]),
        (description(format_version=99), ["format version 99, this skyreel reads version 1; install skyreel"]),
        (description(component="transformer"), ["no classifier 'transformer'", "install the plugin that wrote it"]),
        (description(task=None), ["model.json is damaged", "copy the model again or train anew"]),
        (description(options={"layers": 3}), ["options of another version", "train anew"]),
        (shutil.rmtree, ["no such folder; name the folder of a finished `skyreel train` run"]),
    ],
)
def test_models_that_cannot_be_used(
    change: Callable[[Path], None], words: list[str], made: Path, classify: Callable[..., Done], tmp_path: Path
) -> None:
    shutil.copytree(made / "run" / "model", tmp_path / "model")
    change(tmp_path / "model")
    before = left(tmp_path)
    refused(classify(made / "movies", "model"), "model", *words)
    assert left(tmp_path) == before

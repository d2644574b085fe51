"""Verbs run in this process, and a tiny network that costs seconds to train."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from skyreel.cli import main

CLASSES = ("supernova", "rr_lyrae", "eclipsing_binary", "non_variable", "asteroid")
NETWORK = ["classifier.channels=[[4],[4]]", "classifier.dense=16", "classifier.lstm=16"]
SIZES = ["n_objects=32", "n_valid=8", "n_test=8", "trainer.batch_size=16", "trainer.max_steps=40", "trainer.valid_every=20"]
TINY = ["experiment=quickstart", "executor=inprocess", "trainer.threads=1", *NETWORK, *SIZES]
SIMULATE = ["simulate", "source=[non_variable]", "n_objects=4", "output=out"]
TRAIN = ["train", *TINY, "source=[non_variable,asteroid]"]


@dataclass
class Done:
    """Exit code and what a verb printed."""

    code: int
    out: str
    err: str


def skyreel(*args: str, cwd: Path) -> Done:
    """`skyreel ARGS` in folder `cwd`, without a new process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(args))
    return Done(code, out.getvalue(), err.getvalue())


_kept: list[Path] = []


def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `movies` (12 of each of `CLASSES`) and `run`, a training of `TINY`; made once for all tests."""
    if not _kept:
        folder = tmp_path_factory.mktemp("trained")
        source = f"source=[{','.join(CLASSES)}]"
        for args in (["simulate", source, "n_objects=12", "seed=3", "output=movies"], ["train", source, *TINY, "hydra.run.dir=run"]):
            done = skyreel(*args, cwd=folder)
            assert done.code == 0, done.err + done.out
        _kept.append(folder)
    return _kept[0]


def refused(done: Done, *words: str) -> None:
    """Exit code 1 and one line that holds all of `words`."""
    assert done.code == 1, done.out
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("skyreel: ")
    assert not [word for word in words if word not in lines[0]], lines[0]


def left(folder: Path) -> set[str]:
    """Files and folders, without the runs' own."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "runs" not in path.relative_to(folder).parts}

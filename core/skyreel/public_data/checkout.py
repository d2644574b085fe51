"""Part of a git repository at one commit. Git names every object by its content, so the commit's name vouches for all files."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

from skyreel.errors import DatasetError, OutputError
from skyreel.public_data.checks import digest, note_contents
from skyreel.public_data.inputs import Repository
from skyreel.public_data.resume import Tick, unwritable

_SETTINGS = {
    "advice.detachedHead": "false",
    "core.autocrlf": "false",
    "core.hooksPath": os.devnull,
    "core.sparseCheckout": "true",
    "core.sparseCheckoutCone": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1",  # with the next: give up after a minute without a byte
    "http.lowSpeedTime": "60",
}
_WANTED = "refs/heads/wanted"
_OWN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX")
"""Variables that would lead git to another repository, set where skyreel runs inside a git hook."""


def fetch(name: str, repository: Repository, url: str, folder: Path, tick: Tick) -> None:
    """Brings the files of a commit into a folder.

    Parameters
    ----------
    name : str
        Of the input, for messages.
    repository : Repository
        What is wanted.
    url : str
        Repository to ask: the publisher's or a mirror of it.
    folder : Path
        Gets the files, and replaces one that is there, once all of them are right.
    tick : callable
        Told the parts.

    Raises
    ------
    DatasetError
        If git is absent, the repository cannot be reached or does not hold the commit, or a file differs from it.
    OutputError
        If the folder is full or cannot be written to.

    Notes
    -----
    Works in ``.NAME.part`` beside `folder`, which stays when it fails: parts that are there are not fetched again.
    """
    work = folder.with_name(f".{name}.part")
    git = _Git(name, url, work)
    git.prepare()
    commit = repository.commit
    if not git.has(commit):
        # blob:none leaves the content of files to the checkouts below; servers that cannot filter send all of it
        git.run("fetch", "--quiet", "--depth=1", "--no-tags", "--filter=blob:none", "origin", f"{commit}:{_WANTED}")
    for done in range(len(repository.parts)):
        tick(name, done, len(repository.parts))
        patterns = [*repository.parts[: done + 1], *(f"!{pattern}" for pattern in repository.left_out)]
        git.choose(patterns)
        git.run("read-tree", "--reset", "-u", commit)
    tick(name, len(repository.parts), len(repository.parts))
    note_contents(git.files, commit, _contents(git, commit))
    _replace(git.files, folder, work)


class _Git:
    """Runs git on the repository `work`/git with the files in `work`/files."""

    def __init__(self, name: str, url: str, work: Path) -> None:
        self.name = name
        self.url = url
        self.work = work
        self.files = work / "files"
        self.directory = work / "git"
        if shutil.which("git") is None:
            raise DatasetError(
                f"public input {name!r}", "git is not installed", "install git, or copy the input's folder from another machine"
            )

    def prepare(self) -> None:
        """An empty repository, or that of an earlier attempt; from now on it asks `url`."""
        try:
            self.files.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise unwritable(self.work, err) from err
        self.run("init", "--quiet", "--template=")
        for lock in self.directory.rglob("*.lock"):  # of an attempt that was killed; no other is running
            lock.unlink()
        for key, value in {"remote.origin.url": self.url, **_SETTINGS}.items():
            self.run("config", key, value)

    def has(self, commit: str) -> bool:
        """Whether the commit is here, with the names of its files."""
        return commit in self.run("for-each-ref", "--format=%(objectname)", _WANTED)

    def choose(self, patterns: list[str]) -> None:
        """Only files that match are checked out."""
        place = self.directory / "info" / "sparse-checkout"
        place.parent.mkdir(exist_ok=True)
        place.write_text("".join(f"{pattern}\n" for pattern in patterns))

    def run(self, *arguments: str) -> str:
        """What git prints."""
        environment = {key: value for key, value in os.environ.items() if key not in _OWN}
        environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        command = ["git", f"--git-dir={self.directory}", f"--work-tree={self.files}", *arguments]
        done = subprocess.run(command, env=environment, cwd=self.files, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise self._failure(arguments[0], done.stderr.decode(errors="replace"))
        return done.stdout.decode("utf-8", errors="surrogateescape")

    def _failure(self, step: str, said: str) -> DatasetError | OutputError:
        lines = [line for line in said.splitlines() if line.startswith(("fatal:", "error:"))] or said.splitlines() or ["no message"]
        if os.strerror(errno.ENOSPC) in said:
            return unwritable(self.work, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        return DatasetError(
            f"public input {self.name!r} from {self.url}",
            f"git {step}: {' / '.join(lines)}",
            f"check the network, or name a mirror whose {self.name} is a clone (--mirror URL or SKYREEL_DATA_MIRROR); "
            "what has arrived is kept",
        )


def _contents(git: _Git, commit: str) -> dict[str, tuple[int, str]]:
    """Name -> size and git's name of the content of each file of the commit that was wanted, compared with what lies there."""
    contents = {}
    for line in git.run("ls-files", "-t", "-s", "-z").split("\0")[:-1]:
        status, name = line.split("\t", 1)
        tag, _, blob, _ = status.split()
        if tag == "S":  # not wanted
            continue
        path = git.files / name
        found = digest(path, "git") if path.is_file() else "no file"
        if found != blob:
            raise DatasetError(f"public input {git.name!r}: {path}", f"{found}, commit {commit} has {blob}", "get it again with --force")
        contents[name] = (path.stat().st_size, blob)
    return contents


def _replace(made: Path, folder: Path, work: Path) -> None:
    """Puts `made` in the place of `folder` and removes `work`, which holds the old one by then."""
    try:
        if folder.exists():
            os.replace(folder, work / "old")
        os.replace(made, folder)
    except OSError as err:
        raise unwritable(folder, err) from err
    shutil.rmtree(work, ignore_errors=True)

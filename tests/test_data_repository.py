"""Public inputs that are part of a git repository: taken at one commit, from a made-up clone."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hits_repository import Repository as HitsFolder

from skyreel import public_data
from skyreel.datasets import dataset, load_dataset
from skyreel.errors import DatasetError, OutputError
from skyreel.public_data import INPUTS, folder, get, inspect

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")

WANTED = {"LICENSE", "real_obs/Blind15A_info", "real_obs/real_stamps/EB", "real_obs/real_stamps/SNstamps/SNHiTS.txt"}
UNWANTED = {"simulator.py", "real_obs/plot.ipynb", "real_obs/real_stamps/EB/EB_15A_stamps.tar.gz"}


def git(repository: Path, *args: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    command = ["git", "-C", str(repository), *identity, *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in the layout of the public one, whose second commit is the wanted one and third the newest."""
    monkeypatch.setenv("SKYREEL_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("SKYREEL_DATA_MIRROR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody's settings of git
    place = tmp_path / "mirror" / "hits2015a"
    HitsFolder(place).done()
    for name in UNWANTED | {"LICENSE"}:
        (place / name).write_bytes(b"lines\r\nwith both\nends")
    git(place, "init", "--quiet")
    (place / "LICENSE").write_text("an older one")
    for text in (b"an older one", b"MIT\r\nor so\n", b"a newer one"):
        (place / "LICENSE").write_bytes(text)
        git(place, "add", ".")
        git(place, "commit", "--quiet", "-m", text.decode().split()[1])
    entry = INPUTS["hits2015a"]
    commit = git(place, "rev-parse", "HEAD~1")
    monkeypatch.setitem(INPUTS, "hits2015a", replace(entry, source=replace(entry.source, url=f"file://{place}", commit=commit)))
    return place


def test_the_files_of_the_commit_come_and_nothing_else(clone: Path, tmp_path: Path) -> None:
    place = get("hits2015a")
    assert place == folder("hits2015a") == tmp_path / "data" / "hits2015a"
    files = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()} - {".contents.json", ".checked.json"}
    listed = git(clone, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    assert files == {name for name in listed if name not in UNWANTED}
    assert all((place / name).exists() for name in WANTED)
    assert all((place / name).read_bytes() == (clone / name).read_bytes() for name in files - {"LICENSE"})
    assert (place / "LICENSE").read_bytes() == b"MIT\r\nor so\n"
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"hits2015a", ".hits2015a.lock"}


def test_a_mirror_is_a_folder_of_clones(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = INPUTS["hits2015a"]
    monkeypatch.setitem(INPUTS, "hits2015a", replace(entry, source=replace(entry.source, url="http://127.0.0.1:1/x")))
    with pytest.raises(DatasetError, match=r"'hits2015a' from http://127\.0\.0\.1:1/x: git fetch: fatal: .*; check the network, or name"):
        get("hits2015a")
    assert get("hits2015a", mirror=f"file://{tmp_path}/mirror/").is_dir()


def test_settings_and_variables_of_git_do_not_touch_the_files(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hooks").mkdir()
    for name in ("reference-transaction", "post-index-change", "post-checkout"):
        (tmp_path / "hooks" / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (tmp_path / "hooks" / name).chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[core]\n autocrlf = true\n hooksPath = {tmp_path}/hooks\n[fetch]\n prune = true\n")
    monkeypatch.setenv("GIT_DIR", str(clone / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    place = get("hits2015a")
    assert (place / "LICENSE").read_bytes() == b"MIT\r\nor so\n"
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "index").exists()


def test_a_clone_without_the_commit(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = INPUTS["hits2015a"]
    monkeypatch.setitem(INPUTS, "hits2015a", replace(entry, source=replace(entry.source, commit="12" * 20)))
    with pytest.raises(DatasetError, match=f"git fetch: .*{'12' * 20}.*name a mirror whose hits2015a is a clone"):
        get("hits2015a")
    assert inspect("hits2015a").state == "absent"


def test_finished_parts_are_kept_when_the_connection_breaks(clone: Path, tmp_path: Path) -> None:
    git(clone, "config", "uploadpack.allowFilter", "true")  # as the public server: contents come part by part
    away = clone.with_name("away")
    told: list[tuple[str, int, int]] = []

    def unplug(*step: object) -> None:
        told.append(step)
        if step[1] == 2 and clone.exists():
            clone.rename(away)

    with pytest.raises(DatasetError, match="git read-tree: .*what has arrived is kept"):
        get("hits2015a", tick=unplug)
    assert told == [("hits2015a", done, 6) for done in range(3)]
    part = tmp_path / "data" / ".hits2015a.part"
    assert (part / "files/real_obs/Blind15A_info").is_dir()
    assert not (part / "files/real_obs/real_stamps/RRLyrae").exists()
    star = next((away / "real_obs/real_stamps/RRLyrae").glob("*.npy")).relative_to(away)
    (part / "files" / star).parent.mkdir()
    (part / "files" / star).write_bytes(b"torn")  # as a killed git leaves it, and its lock
    (part / "git" / "index.lock").touch()
    away.rename(clone)
    (clone / ".git" / "refs").rename(clone / "refs")  # nobody answers: it still comes as far as before
    with pytest.raises(DatasetError, match="git read-tree"):
        get("hits2015a", tick=lambda *step: told.append(step))
    assert told[3:] == told[:3]
    (clone / "refs").rename(clone / ".git" / "refs")
    assert (get("hits2015a") / star).read_bytes() == (clone / star).read_bytes()
    assert not part.exists()


def test_no_git(clone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatasetError, match="'hits2015a': git is not installed; install git, or copy the input's folder"):
        get("hits2015a")


def test_a_folder_that_cannot_be_made(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".hits2015a.part").write_text("in the way")
    with pytest.raises(OutputError, match=r"writing .*\.hits2015a\.part: .*; choose a folder with free space"):
        get("hits2015a")


def test_a_full_disk(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text("#!/bin/sh\necho 'fatal: write error: No space left on device' >&2\nexit 128\n")
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(OutputError, match="No space left on device; choose a folder with free"):
        get("hits2015a")


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"MIX\r\nor so\n"), lambda file: file.write_bytes(b"")])
def test_damage_is_found_and_mended(clone: Path, damage: Callable[[Path], object]) -> None:
    file = get("hits2015a") / "LICENSE"
    damage(file)
    with pytest.raises(DatasetError, match="'hits2015a' is damaged: .*LICENSE.*; run skyreel data get hits2015a again"):
        folder("hits2015a")
    get("hits2015a")
    assert folder("hits2015a")
    assert file.read_bytes() == b"MIT\r\nor so\n"


def test_another_commit_is_another_input(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get("hits2015a")
    entry = INPUTS["hits2015a"]
    newest = replace(entry, source=replace(entry.source, commit=git(clone, "rev-parse", "HEAD")))
    monkeypatch.setitem(INPUTS, "hits2015a", newest)
    with pytest.raises(DatasetError, match="'hits2015a' is not downloaded"):
        folder("hits2015a")
    assert (get("hits2015a") / "LICENSE").read_bytes() == b"a newer one"


def test_force_fetches_again(clone: Path, tmp_path: Path) -> None:
    place = get("hits2015a")
    (place / "mine.txt").write_text("not of the commit")
    get("hits2015a", force=True)
    assert not (place / "mine.txt").exists()
    clone.rename(tmp_path / "away")
    with pytest.raises(DatasetError, match="git fetch"):
        get("hits2015a", force=True)
    assert folder("hits2015a") == place


def test_the_dataset_finds_what_was_downloaded(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "_default_places", lambda name: [tmp_path / "nowhere" / name])
    words = f"data set 'hits2015a_raw': no folder {tmp_path}/nowhere/hits2015a_raw; hand in path=FOLDER"
    with pytest.raises(DatasetError, match=f"^{re.escape(words)}.*; or run skyreel data get hits2015a$"):
        load_dataset("hits2015a_raw")
    with pytest.raises(DatasetError, match="no folder .*given;"):
        load_dataset("hits2015a_raw", tmp_path / "given")
    place = public_data.get("hits2015a")
    options = {"min_frames": 1, "before_alert": 0}
    found, same = load_dataset("hits2015a_raw", **options), load_dataset("hits2015a_raw", clone, **options)
    assert len(found.movies.label) == 4
    np.testing.assert_array_equal(found.movies.pixels, same.movies.pixels)
    (place / "LICENSE").unlink()
    with pytest.raises(DatasetError, match="'hits2015a' is damaged"):
        load_dataset("hits2015a_raw")

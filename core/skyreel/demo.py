"""`make demo`: train the quickstart network, score it on real movies where they are found, else on simulated ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

REAL = "hits2015a"


def real_movies() -> Path | None:
    """The folder of real HiTS movies: $SKYREEL_TEST_DATA/hits2015a or ../shared/data/hits2015a; None without either."""
    roots = [Path(os.environ["SKYREEL_TEST_DATA"])] if os.environ.get("SKYREEL_TEST_DATA") else []
    roots.append(Path("..") / "shared" / "data")
    return next((root / REAL for root in roots if (root / REAL / "conditions.ecsv").is_file()), None)


def _skyreel(*args: str) -> None:
    print(f"\n$ skyreel {' '.join(args)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "skyreel.cli", *args], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def main(overrides: list[str]) -> int:
    """Runs the demo; `overrides` go to the training, for example ``trainer.max_steps=50``."""
    start = time.monotonic()
    place = Path("runs") / "demo" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    trained, scored = place / "train", place / "evaluate"
    _skyreel("train", "experiment=quickstart", f"hydra.run.dir={trained}", *overrides)
    found = real_movies()
    if found is None:
        report = trained / "report.html"
        print("\nNo real movies found (looked in SKYREEL_TEST_DATA and ../shared/data): the scores above are of simulated ones.")
    else:
        print(f"\nReal movies found in {found}: scoring the network on them. It has never seen a real label.")
        _skyreel("evaluate", f"model={trained}", f"dataset={REAL}", f"dataset.path={found}", f"hydra.run.dir={scored}")
        report = scored / "report.html"
    print(f"\nReport: {report.resolve()}\nThe demo took {time.monotonic() - start:.0f} s{_peak_memory()}.")
    return 0


def _peak_memory() -> str:
    try:
        import resource
    except ImportError:  # not on Windows
        return ""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kB elsewhere
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return f" and at most {peak / 2**30:.1f} GB of memory in one process"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

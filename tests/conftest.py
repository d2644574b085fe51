"""Settings all tests share: one thread, reproducible property tests, the real data's folder, a count of real-data tests."""

import os
import signal
from pathlib import Path

# before anything imports torch or numpy: tests run beside each other, and sums must not depend on the number of threads
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import pytest  # noqa: E402  after the threads are set
from hypothesis import settings  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("skyreel", deadline=None, derandomize=True)
settings.load_profile("skyreel")


def find_data() -> Path | None:
    """$SKYREEL_TEST_DATA, else ../shared/data beside the checkout; None where neither is a folder."""
    places = [Path(os.environ["SKYREEL_TEST_DATA"])] if os.environ.get("SKYREEL_TEST_DATA") else []
    places.append(ROOT.parent / "shared" / "data")
    return next((place.resolve() for place in places if place.is_dir()), None)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data; the test is skipped where there is none."""
    found = find_data()
    if found is None:
        pytest.skip("no real data: neither $SKYREEL_TEST_DATA nor ../shared/data is a folder")
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny movies and a tiny training (see `verb_runs.trained`)."""
    from verb_runs import trained

    return trained(tmp_path_factory)


@pytest.fixture(scope="module")
def good(made: Path):
    """Some of those movies."""
    import numpy as np

    from skyreel.movie_files import MovieFolder

    return MovieFolder(made / "movies").take(np.arange(0, 60, 5))


@pytest.fixture
def classify(made: Path, tmp_path: Path):
    """Classifies `input` in tmp_path; a second argument names another model."""

    from verb_runs import skyreel

    def run(movies: str | Path, model: str | Path = made / "run", output: str = "p.parquet"):
        return skyreel("classify", f"model={model}", f"input={movies}", f"output={output}", cwd=tmp_path)

    return run


def pytest_configure() -> None:
    """A shell's background job is deaf to Ctrl-C, and hands that on: the tests that press it must be heard."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many real-data tests ran: a run that skipped them all looks like one that passed them all."""

    def count(outcome: str, when: str | None = None) -> int:
        reports = terminalreporter.stats.get(outcome, [])
        return sum("real_data" in getattr(report, "keywords", ()) and when in (None, report.when) for report in reports)

    ran = count("passed", "call") + count("failed", "call")
    terminalreporter.write_line(f"real-data tests: {ran} ran, {count('skipped')} skipped (data: {find_data() or 'not found'})")

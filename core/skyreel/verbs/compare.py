"""`skyreel compare RUN RUN ... [--output FOLDER] [--name RUN=LABEL]`: one report of several runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from skyreel.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table as TerminalTable

    from skyreel.evaluate.comparison_tables import Table

DESCRIPTION = """\
Compares finished runs of `skyreel train`, `evaluate` and `finetune`: scores with intervals, controls, paired differences, the
figures of the paper. Runs that differ in nothing but the seed of their training are shown as one model with its spread."""
EPILOG = """\
example:
  skyreel compare runs/network0 runs/network0-real runs/network0-tuned runs/forest0-real \\
      --name runs/network0=network --name runs/forest0-real=forest --output runs/compare/first

Leaves report.html (one self-contained file), metrics.json, figures/*.png and *.pdf, tables/*.csv and *.tex."""
_FORM = "write --name RUN=LABEL, RUN as it stands among the runs"


class _Parser(argparse.ArgumentParser):
    """Raises skyreel's own error where argparse would leave the program."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError("skyreel compare", message, "see `skyreel compare --help`")


def main(argv: Sequence[str]) -> int:
    """Reads the runs, writes the report and prints the headline; returns 0.

    Raises
    ------
    ConfigError
        For wrong arguments.
    DataError
        If a run cannot be read, or runs cannot be compared.
    OutputError
        If the output folder holds something else or cannot be written to.
    """
    parser = _Parser(
        prog="skyreel compare",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--output", metavar="FOLDER", help="where the report goes; default: runs/compare/ and the time")
    parser.add_argument("--name", action="append", default=[], metavar="RUN=LABEL", help="label of that run's model, for all its seeds")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstraps (default 0)")
    options = parser.parse_args(list(argv))
    folder = Path(options.output or f"runs/compare/{datetime.now():%Y-%m-%d_%H-%M-%S}")
    write_report(options.runs, folder, labels(options.name), options.seed)
    return 0


def labels(texts: Sequence[str]) -> dict[str, str]:
    """'RUN=LABEL' of every ``--name``, split at the last sign of equality.

    Raises
    ------
    ConfigError
        Without a sign, with nothing on one side of it, or for two labels of one run.
    """
    out: dict[str, str] = {}
    for text in texts:
        run, sign, label = text.rpartition("=")
        if not (sign and run and label.strip()):
            raise ConfigError(f"--name {text}", "not of the form RUN=LABEL", _FORM)
        if run in out:
            raise ConfigError(f"--name {text}", f"this run is already called {out[run]}", "name it once")
        out[run] = label.strip()
    return out


def write_report(runs: Sequence[str], folder: Path, names: dict[str, str], seed: int) -> None:
    """Compares `runs` and writes everything into `folder`."""
    from skyreel.evaluate.comparison import compare_runs
    from skyreel.evaluate.comparison_page import check_folder, number_of_figures, write_comparison
    from skyreel.evaluate.comparison_scores import numbers
    from skyreel.evaluate.comparison_tables import tables, verdicts
    from skyreel.evaluate.runs import read_run
    from skyreel.verbs.terminal import console, progress

    check_folder(folder)  # before the work and not after it
    found = compare_runs([read_run(run) for run in runs], names)
    with progress("scoring", len(found.entries), "models") as tick:
        scored = numbers(found, seed=seed, tick=tick)
    with progress("drawing", number_of_figures(found, scored), "figures") as tick:
        written = write_comparison(folder, found, scored, tick=tick)
    for table in tables(scored):
        if table.slug.startswith("headline"):
            console.print(_terminal_table(table))
    for line in verdicts(scored["entries"]):
        console.print(line)
    beside = f"; {len(written.left_out)} more figures beside it" if written.left_out else ""
    console.print(f"report: {written.report} ({written.size / 1e6:.1f} MB, {len(written.figures)} figures{beside})")


def _terminal_table(table: Table) -> TerminalTable:
    """The columns that fit a terminal."""
    from rich.table import Table as TerminalTable

    shown = [table.head.index(name) for name in ("protocol", "model", "mean recall", "95 %", "spread")]
    out = TerminalTable(title=table.caption.split(" [%]")[0] + " [%]", title_justify="left")
    for k in shown:
        out.add_column(table.head[k], justify="left" if k < 2 else "right")
    for row in table.rows:
        out.add_row(*(row[k] for k in shown))
    return out

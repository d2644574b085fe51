"""What run verbs show in the terminal: one console, one style of progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(soft_wrap=True, force_jupyter=False)


@contextmanager
def progress(text: str, total: int, unit: str = "movies") -> Iterator[Callable[[int], None]]:
    """A progress bar over `total` items of `unit`; yields the function that advances it. Elsewhere than in a terminal, one line."""
    if not console.is_terminal:
        console.print(f"{text}: {total} {unit}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(text, total=total)
        yield lambda n: bar.advance(task, n)

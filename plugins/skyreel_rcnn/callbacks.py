"""What happens around the steps of a training: validation, checkpoints, history, the progress line, Ctrl-C."""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from skyreel_rcnn.checkpoints import Checkpoints
from skyreel_rcnn.files import write_json
from skyreel_rcnn.inputs import Batch
from skyreel_rcnn.module import TrainingModule, learning_rate

HISTORY_ROWS = 1000
"""Rows of training loss kept of a whole run."""


@dataclass
class Record:
    """How far a training has come.

    Attributes
    ----------
    step : int
        Optimiser steps done.
    seconds : float, s
        Wall-clock time spent, earlier runs that were resumed included.
    best_step : int
        Step with the lowest validation loss; -1 before the first validation.
    valid_loss, valid_accuracy : float or None
        At that step; accuracy at each object's last image.
    """

    step: int = 0
    seconds: float = 0.0
    best_step: int = -1
    valid_loss: float | None = None
    valid_accuracy: float | None = None


class Keeper(pl.Callback):
    """Validates every `valid_every` steps, keeps the best and the last state and the history.

    Parameters
    ----------
    checkpoints : Checkpoints
    history : Path
        JSON file: rows of training (mean loss since the row before) and of validation.
    valid : iterable of Batch or None
    record : Record
        Where the run starts from; it is updated.
    """

    def __init__(self, checkpoints: Checkpoints, history: Path, valid: Iterable[Batch] | None, record: Record) -> None:
        self.checkpoints, self.history, self.valid, self.record = checkpoints, history, valid, record
        self.rows: dict[str, list[dict[str, Any]]] = {"train": [], "valid": []}
        if record.step and history.is_file():
            earlier = json.loads(history.read_text())
            self.rows = {key: [row for row in earlier[key] if row["step"] <= record.step] for key in self.rows}
        self._losses: list[float] = []
        self._between_steps = True
        self._started = 0.0
        self._seconds_before = record.seconds

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Writes a first checkpoint: a folder that cannot be written to shows at once."""
        self._started = time.monotonic()
        self.write_last(module)

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Batch, batch_idx: int) -> None:
        """From here to the end of the step, weights and optimiser state may disagree."""
        self._between_steps = False

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Counts the step; validates and writes when it is time."""
        module.step += 1
        self._between_steps = True
        record, options = self.record, module.options
        record.step = module.step
        self._losses.append(module.loss)
        last = record.step == options.max_steps
        if last or record.step % max(1, options.max_steps // HISTORY_ROWS) == 0:
            row = {
                "step": record.step,
                "loss": sum(self._losses) / len(self._losses),
                "learning_rate": learning_rate(record.step - 1, options),
            }
            self.rows["train"].append(row)
            self._losses.clear()
        if last or record.step % options.valid_every == 0:
            self._validate(module)
            self.write_last(module)

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """Keeps what a stopped run has reached; an error leaves the last checkpoint alone."""
        if isinstance(exception, KeyboardInterrupt) and self._between_steps:
            self.write_last(module)

    def write_last(self, module: TrainingModule) -> None:
        """The last checkpoint and the history."""
        self.record.seconds = self._seconds_before + time.monotonic() - self._started
        self.checkpoints.write_last(module, asdict(self.record))
        write_json(self.history, self.rows)

    def _validate(self, module: TrainingModule) -> None:
        if self.valid is None:
            return
        loss, accuracy = module.evaluate(self.valid)
        record = self.record
        self.rows["valid"].append({"step": record.step, "loss": loss, "accuracy": accuracy})
        if loss < (math.inf if record.valid_loss is None else record.valid_loss):
            record.best_step, record.valid_loss, record.valid_accuracy = record.step, loss, accuracy
            self.checkpoints.write_best(module.network, asdict(record))


class ProgressLine(pl.Callback):
    """One line in the terminal: step, loss, best validation, time left; elsewhere (a log file) a line every tenth.

    Parameters
    ----------
    record : Record
    total : int
        Steps of the whole run.
    """

    def __init__(self, record: Record, total: int) -> None:
        self.record, self.total = record, total
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar.disable = not self._bar.console.is_terminal
        self._every = max(total // 10, 1)

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Shows the line."""
        self._task = self._bar.add_task("", total=self.total, completed=self.record.step, text="")
        self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Moves it on."""
        text = f"loss {module.loss:.3g}"
        if self.record.valid_accuracy is not None:
            text += f"  valid loss {self.record.valid_loss:.3g}, accuracy {self.record.valid_accuracy:.3f}"
        self._bar.update(self._task, completed=module.step, text=text)
        if self._bar.disable and module.step % self._every == 0:
            print(f"training: step {module.step} of {self.total}, {text}", flush=True)

    def teardown(self, trainer: pl.Trainer, module: Any, stage: str) -> None:
        """Ends it, also after an error."""
        self._bar.stop()


class StopBetweenSteps(pl.Callback):
    """Turns Ctrl-C into a KeyboardInterrupt between two steps, so that nothing half-done is kept.

    A second Ctrl-C stops at once and leaves the last checkpoint as it is.
    """

    def __init__(self) -> None:
        self._asked = False

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Stops if Ctrl-C came during the step."""
        if self._asked:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        sys.stderr.write("\nstopping after this step; Ctrl-C once more stops at once\n")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handles Ctrl-C inside the block, the former way again after it."""
        try:
            former = signal.signal(signal.SIGINT, self._on_signal)
        except ValueError:  # only the main thread of a process receives signals
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, former)

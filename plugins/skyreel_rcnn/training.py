"""A training from start, or resumed, to its best state, through Lightning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException

from skyreel.errors import ConfigError, Interrupted
from skyreel.interfaces import TrainerOptions
from skyreel_rcnn.callbacks import Keeper, ProgressLine, Record, StopBetweenSteps
from skyreel_rcnn.checkpoints import Checkpoints
from skyreel_rcnn.datamodule import MoviesDataModule
from skyreel_rcnn.inputs import Batch, TrainingStream
from skyreel_rcnn.module import TrainingModule
from skyreel_rcnn.network import Network


def train(
    network: Network,
    stream: TrainingStream,
    valid: Iterable[Batch] | None,
    run_dir: Path,
    options: TrainerOptions,
    *,
    spec: Mapping[str, Any],
    reduction: str,
    resume: bool,
) -> dict[str, Any]:
    """Trains `network` in place and leaves it, on the CPU and in inference mode, at its best state.

    Parameters
    ----------
    network : Network
    stream : TrainingStream
    valid : iterable of Batch or None
        The state with the lowest loss on it is kept; None: the last state.
    run_dir : Path
        Receives checkpoints/{last,best}.{safetensors,json} and history.json.
    options : TrainerOptions
    spec : mapping
        What a resumed run must agree in, as JSON values.
    reduction : 'sum' or 'mean'
        See `module.sequence_loss`.
    resume : bool

    Returns
    -------
    dict
        `callbacks.Record` and the number of parameters.

    Raises
    ------
    Interrupted
        After Ctrl-C, with the last checkpoint on disk.
    OutputError
        If `run_dir` cannot be written to or holds a run already.
    ConfigError
        For options out of range, and where the loss becomes NaN.
    """
    _check(options)
    checkpoints = Checkpoints(run_dir / "checkpoints", spec)
    module = TrainingModule(network, options, stream.seeds, reduction)
    record = Record()
    if resume:
        record = Record(**checkpoints.read_last(module))
    else:
        checkpoints.refuse_other_run()
    keeper = Keeper(checkpoints, run_dir / "history.json", valid, record)
    if record.step < options.max_steps:
        _run(module, stream, keeper, options, run_dir)
    if record.best_step >= 0:
        checkpoints.read_best(network)
    network.eval().cpu()
    return {**vars(record), "parameters": sum(weight.numel() for weight in network.parameters())}


def _run(module: TrainingModule, stream: TrainingStream, keeper: Keeper, options: TrainerOptions, run_dir: Path) -> None:
    stop = StopBetweenSteps()
    callbacks: list[pl.Callback] = [keeper, stop]
    if options.progress:
        callbacks.insert(1, ProgressLine(keeper.record, options.max_steps))
    module.network.train()
    with _quiet(), _threads(options.threads), _own_randomness(), stop.listening():
        trainer = _trainer(options, callbacks, run_dir)
        try:
            trainer.fit(module, datamodule=MoviesDataModule(stream, options.max_steps, first=module.step))
        except (KeyboardInterrupt, SystemExit) as err:  # Lightning turns the first into the second
            done = f"stopped after step {keeper.record.step} of {options.max_steps}"
            raise Interrupted("training", done, f"resume it from {run_dir}") from err


def _trainer(options: TrainerOptions, callbacks: list[pl.Callback], run_dir: Path) -> pl.Trainer:
    """Lightning's trainer; ConfigError where it has no such device or precision."""
    try:
        return pl.Trainer(
            accelerator=options.accelerator,
            devices=1,
            precision=options.precision,  # type: ignore[arg-type]
            max_epochs=1,
            gradient_clip_val=options.gradient_clip or None,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=run_dir,
        )
    except (ValueError, RuntimeError, MisconfigurationException) as err:
        found = f"accelerator {options.accelerator!r}, precision {options.precision!r}: {' '.join(str(err).split())}"
        raise ConfigError("trainer", found, "choose a device that this machine has, for example trainer.accelerator=cpu") from err


def _check(options: TrainerOptions) -> None:
    if options.devices != 1:
        raise ConfigError("trainer.devices", str(options.devices), "use 1: batch statistics and order belong to one whole batch")


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice on data loaders and loggers does not apply here."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning.*|lightning_fabric.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _own_randomness() -> Iterator[None]:
    """The steps seed torch's global generators; the caller's go on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield

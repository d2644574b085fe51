"""The Lightning module: loss over the steps, AMSGrad, validation."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from skyreel.errors import ConfigError, DataError
from skyreel.interfaces import TrainerOptions
from skyreel.seeding import Seeds
from skyreel_rcnn.inputs import Batch
from skyreel_rcnn.network import Network

LOSSES = ("sum", "mean")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("32-true", "bf16-mixed")


def sequence_loss(logits: Tensor, label: Tensor, mask: Tensor, reduction: str = "sum") -> Tensor:
    """Cross-entropy of whole sequences, averaged over objects (section 3.4 of the paper).

    Parameters
    ----------
    logits : float32 (n, S, classes)
    label : int64 (n,)
    mask : bool (n, S)
    reduction : 'sum' or 'mean'
        Over the steps of one object: the sum (the paper), or the mean, which weighs short sequences like long ones.

    Returns
    -------
    Tensor, scalar
        Objects without a step do not count.
    """
    steps = label[:, None].expand(mask.shape)
    loss = (F.cross_entropy(logits.transpose(1, 2), steps, reduction="none") * mask).sum(1)
    count = mask.sum(1)
    if reduction == "mean":
        loss = loss / count.clamp(min=1)
    return loss.sum() / (count > 0).sum()


def learning_rate(step: int, options: TrainerOptions) -> float:
    """Learning rate of one step: linear warm-up, then constant or half a cosine down to 0 at `max_steps`."""
    rate = options.learning_rate * min(1.0, (step + 1) / max(options.warmup_steps, 1))
    if options.schedule == "cosine" and step >= options.warmup_steps:
        part = (step - options.warmup_steps) / max(options.max_steps - options.warmup_steps, 1)
        rate *= 0.5 * (1 + math.cos(math.pi * part))
    return rate


class TrainingModule(pl.LightningModule):
    """Trains a `Network`; one step is a function of (weights, optimiser state, seed, step) alone.

    Parameters
    ----------
    network : Network
    options : TrainerOptions
    seeds : Seeds
        Dropout of step k draws from block k.
    reduction : 'sum' or 'mean'
        See `sequence_loss`.

    Attributes
    ----------
    step : int
        Optimiser steps done.
    optimiser_state : dict or None
        State per parameter (as in an optimiser's ``state_dict()["state"]``) to start from.
    loss : float
        Of the last step.
    """

    def __init__(self, network: Network, options: TrainerOptions, seeds: Seeds, reduction: str) -> None:
        super().__init__()
        for name, value, known in (
            ("trainer.schedule", options.schedule, SCHEDULES),
            ("trainer.precision", options.precision, PRECISIONS),
            ("classifier.loss", reduction, LOSSES),
        ):
            if value not in known:
                raise ConfigError(name, repr(value), f"use one of {', '.join(known)}")
        self.network, self.options, self.seeds, self.reduction = network, options, seeds, reduction
        self.step = 0
        self.loss = math.nan
        self.optimiser_state: dict[int, dict[str, Tensor]] | None = None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AMSGrad (Reddi et al. 2018), as in section 3.4 of the paper."""
        # Lightning cannot clip the gradients of a fused optimiser in mixed precision.
        fused = self.options.precision == "32-true" or self.options.gradient_clip == 0
        optimiser = torch.optim.Adam(
            self.network.parameters(),
            lr=self.options.learning_rate,
            weight_decay=self.options.weight_decay,
            amsgrad=True,
            fused=fused and self.device.type in ("cpu", "cuda"),
        )
        if self.optimiser_state is not None:
            weights = list(self.network.parameters())
            state = {k: _laid_out(values, weights[k]) for k, values in self.optimiser_state.items()}
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        return optimiser

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Sets the learning rate and the random numbers of this step."""
        optimiser = self.trainer.optimizers[0]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.options)
        torch.manual_seed(int(Seeds(self.seeds.root, self.seeds.stream, self.step).rng("dropout").integers(2**62)))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch; ConfigError where it is not a finite number."""
        loss = sequence_loss(self.network(*batch[:4]), batch.label, batch.mask, self.reduction)
        self.loss = float(loss.detach())
        if not math.isfinite(self.loss):
            found = f"the loss became {self.loss} at step {self.step} with learning_rate {learning_rate(self.step, self.options):g}"
            raise ConfigError("training", found, "lower trainer.learning_rate or set trainer.gradient_clip=1; the last checkpoint is kept")
        return loss

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Batch]) -> tuple[float, float]:
        """(loss, accuracy at each object's last step) over labelled batches, in inference mode.

        Raises
        ------
        DataError
            Where no object has a complete stack.
        """
        was_training = self.network.training
        self.network.eval()
        total, right, count = 0.0, 0, 0
        for batch in batches:
            batch = Batch(*(column.to(self.device) for column in batch))
            with self.trainer.precision_plugin.forward_context():
                logits = self.network(*batch[:4])
            used = batch.mask.any(1)
            last = batch.mask.sum(1)[used] - 1
            final = logits[used, last].argmax(1)
            right += int((final == batch.label[used]).sum())
            count += len(last)
            total += float(sequence_loss(logits[used], batch.label[used], batch.mask[used], self.reduction)) * len(last)
        self.network.train(was_training)
        if not count:
            raise DataError("validation", "no object with a complete stack of images", "hand in longer movies")
        return total / count, right / count


def _laid_out(state: dict[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
    """Optimiser state in the memory format of its weight: the fused kernel walks both as they lie in memory."""
    return {name: torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value for name, value in state.items()}

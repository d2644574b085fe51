"""The recurrent convolutional network as a skyreel classifier."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from skyreel.errors import ConfigError, DataError, Interrupted, ModelError
from skyreel.exposures import Exposures
from skyreel.interfaces import Classifier, MovieStore, PixelBits, Predictions, Task, TrainerOptions
from skyreel.movies import Movies
from skyreel.preprocessing import n_conditions
from skyreel.seeding import Seeds
from skyreel.sequences import Sequences, build_sequences
from skyreel.simulate.streaming import MovieFeed
from skyreel.stepwise import advance, initial_sequence_state
from skyreel.task_inputs import class_index, fitted, in_task_bands
from skyreel_rcnn.files import load_weights
from skyreel_rcnn.inputs import Share, TrainingStream, ValidationSet, as_batch, share_of
from skyreel_rcnn.layers import freeze_statistics, statistics
from skyreel_rcnn.model_folder import read_model, task_to_json, write_model
from skyreel_rcnn.network import Network, fold
from skyreel_rcnn.order import Sampler
from skyreel_rcnn.state import RCNNState

PREDICT_BATCH = 64
"""Objects classified at once: bounds the memory of the convolutions."""


DEVICES = ("auto", "cpu", "cuda", "mps")
"""Where `RCNN` predicts; 'cuda:1' names the second card."""

TUNED_LAYERS: dict[str, str | tuple[str, ...]] = {"all": "", "recurrent": ("lstm.", "head.")}
"""What `finetune` may train -> how the names of its weights begin."""


@dataclass
class RCNN(Classifier):
    """Recurrent convolutional network (Carrasco-Davis et al. 2018, Table 3 and sections 3.1, 3.2, 3.4).

    The defaults are the paper's network: 5,707,085 parameters with n_w = 3, one channel and seven classes (torch's LSTM
    has two bias vectors; gamma and beta of the batch renormalisation count). Left open by the paper and chosen here:
    dropout, r_max, d_max, momentum, renorm_warmup, renorm_ramp.

    Parameters
    ----------
    channels : list of lists of int
        Output channels of every convolution, one list per block; a max pool ends a block.
    kernel : int, px
        Side of every convolution's kernel; odd.
    first_stride : int, px
        Stride of the first convolution.
    dense : int
        Units of the fully connected layer.
    dropout : float
        After the fully connected layer. Not in the paper: 0.5 (Srivastava et al. 2014).
    lstm : int
        Units of the LSTM.
    norm_order : 'relu_first' or 'norm_first'
        Convolution, ReLU, batch renormalisation (the paper's text), or renormalisation ahead of the ReLU, which is
        folded into the convolution for inference.
    time_unit : float, d
        Time gaps are divided by it; the paper feeds days.
    r_max, d_max : float
        Limits of the batch renormalisation. Not in the paper: 3 and 5 (Ioffe 2017).
    momentum : float
        alpha of its moving averages. Not in the paper: 0.99 (Ioffe 2017).
    renorm_warmup, renorm_ramp : int
        Steps of plain batch normalisation, then steps over which the limits grow to r_max and d_max. Not in the paper:
        1,000 and 5,000; Ioffe (2017), who trains several times longer, takes 5,000 and 35,000.
    loss : 'sum' or 'mean'
        Cross-entropy summed over the steps of an object (the paper) or averaged.
    augment : bool
        Give every object a random rotation by quarter turns and mirroring at every training step.
    balanced : bool
        Draw all classes equally often.
    replay_share : float
        Fine-tuning: part of every batch that comes from the simulated movies.
    freeze_statistics : bool
        Fine-tuning: keep the moving averages of the batch renormalisation.
    random_windows : float
        Fine-tuning: part of the real movies that is cut to a random window at every step (`inputs.random_window`).
    tuned_layers : 'all' or 'recurrent'
        Fine-tuning: what is trained; 'recurrent': the LSTM and the output layer.
    device : str
        Where predict and step run: 'cpu', 'cuda', ... or 'auto' (a GPU if torch finds one).

    Raises
    ------
    ConfigError
        For options out of range.
    """

    channels: list[list[int]] = field(default_factory=lambda: [[64, 64, 64], [64, 64, 64]])
    kernel: int = field(default=3, metadata={"unit": "pix"})
    first_stride: int = field(default=1, metadata={"unit": "pix"})
    dense: int = 1024
    dropout: float = 0.5
    lstm: int = 512
    norm_order: str = "relu_first"
    time_unit: float = field(default=1.0, metadata={"unit": "d"})
    r_max: float = 3.0
    d_max: float = 5.0
    momentum: float = 0.99
    renorm_warmup: int = 1000
    renorm_ramp: int = 5000
    loss: str = "sum"
    augment: bool = True
    balanced: bool = True
    replay_share: float = 0.125
    freeze_statistics: bool = True
    random_windows: float = 0.7
    tuned_layers: str = "recurrent"
    device: str = "auto"

    replay_objects: ClassVar[int] = 300
    """Simulated movies per class that a fine-tuning is given unless asked otherwise."""
    learns_from_feed: ClassVar[bool] = True
    """Whether `fit` takes a `MovieFeed` for its training movies."""
    adaptable: ClassVar[tuple[str, ...]] = (
        "loss",
        "augment",
        "balanced",
        "replay_share",
        "freeze_statistics",
        "random_windows",
        "tuned_layers",
        "device",
    )
    """Options that a fine-tuning may change."""

    def __post_init__(self) -> None:
        if not 0 <= self.replay_share < 1:
            raise ConfigError("classifier.replay_share", str(self.replay_share), "it must lie in [0, 1)")
        if not 0 <= self.random_windows <= 1:
            raise ConfigError("classifier.random_windows", str(self.random_windows), "it must lie in [0, 1]")
        if self.tuned_layers not in TUNED_LAYERS:
            raise ConfigError("classifier.tuned_layers", repr(self.tuned_layers), f"use one of {', '.join(TUNED_LAYERS)}")
        for name in ("dense", "lstm"):
            if getattr(self, name) < 1:
                raise ConfigError(f"classifier.{name}", str(getattr(self, name)), "it must be at least 1")
        if self.device.partition(":")[0] not in DEVICES:
            raise ConfigError("classifier.device", repr(self.device), f"use one of {', '.join(DEVICES)}")
        self._trained: Network | None = None
        self._inference: Network | None = None

    # ------------------------------------------------------------------------------------------- training

    def build(self, task: Task) -> Network:
        """An untrained network for a task; its weights come from torch's global generator."""
        names = ("channels", "kernel", "first_stride", "dense", "dropout", "lstm", "norm_order", "time_unit")
        renorm = ("r_max", "d_max", "momentum", "renorm_warmup", "renorm_ramp")
        return Network(
            len(task.classes),
            task.sequence.n_stacked,
            len(task.channels),
            task.stamp_size,
            n_conditions(task.sequence, task.bands),
            **{name: getattr(self, name) for name in (*names, *renorm)},
        )

    def fit(
        self,
        train: MovieStore | MovieFeed,
        valid: MovieStore,
        run_dir: Path,
        *,
        task: Task,
        trainer: TrainerOptions,
        seed: int = 0,
        resume: bool = False,
    ) -> Mapping[str, Any]:
        """Trains as section 3.4 of the paper does (see `interfaces.Classifier.fit`).

        Returns
        -------
        dict
            step, seconds, best_step, valid_loss and valid_accuracy (at each object's last image) of the best state,
            parameters.

        Raises
        ------
        DataError
            Where a class has no movie, or no movie enough images.
        Interrupted, OutputError, ConfigError, ModelError
            See `training.train`; ModelError where nothing can be resumed.
        """
        missing = set(task.classes) - set(train.classes if isinstance(train, MovieFeed) else map(str, np.unique(train.label)))
        if missing:
            raise DataError("training", f"no movie of {', '.join(sorted(missing))}", "simulate some or leave the class out")
        seeds = Seeds(seed, "rcnn/fit")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seeds.rng("weights").integers(2**62)))
            network = self.build(task)
        stream = TrainingStream([share_of(train, task, trainer.batch_size, seeds, self.balanced)], task, seeds, self.augment)
        checks = ValidationSet(valid, task, seeds, trainer.valid_max, trainer.batch_size)
        return self._train(network, stream, checks, run_dir, task, trainer, resume)

    def finetune(
        self, movies: MovieStore, replay: MovieStore | None, run_dir: Path, *, trainer: TrainerOptions, seed: int = 0
    ) -> Mapping[str, Any]:
        """Continues on real movies, every batch mixed with simulated ones; keeps the state after the last step.

        The paper (section 3.4) runs 1,000 steps on 10 sequences per class and mixes in none. Nothing is validated and no
        state is chosen: every label serves to learn from.

        Parameters
        ----------
        movies : MovieStore
            Labelled; classes of the task, not necessarily all. Whole sequences: they are cut at every step.
        replay : MovieStore or None
            Simulated movies, `replay_share` of every batch.
        run_dir : Path
        trainer : TrainerOptions
        seed : int

        Returns
        -------
        dict
            step, seconds, parameters (trained ones: tuned_parameters), and statistics_moved: whether any moving average of
            the batch renormalisation differs from before.

        Raises
        ------
        DataError
            For labels that are no class of this model, and where no movie has enough images.
        Interrupted, OutputError, ConfigError
            See `training.train`; the model then stays as it was.
        """
        task, seeds = self._task(), Seeds(seed, "rcnn/finetune")
        network = copy.deepcopy(self._network())  # a stopped fine-tuning leaves this model as it was
        simulated = round(trainer.batch_size * self.replay_share) if replay is not None else 0
        if simulated == trainer.batch_size:
            found = f"{simulated} of {trainer.batch_size} movies a step are simulated"
            raise ConfigError("fine-tuning", found, "raise trainer.batch_size or lower replay_share")
        parts = [("real", movies, trainer.batch_size - simulated)]
        if replay is not None and simulated:
            parts.append(("replay", replay, simulated))
        shares = [
            Share(
                store,
                Sampler(class_index(store.label, task.classes), size, seeds.child(name), self.balanced),
                self.random_windows if name == "real" else None,
            )
            for name, store, size in parts
        ]
        freeze_statistics(network, self.freeze_statistics)
        before = statistics(network)
        for name, weight in network.named_parameters():
            weight.requires_grad_(name.startswith(TUNED_LAYERS[self.tuned_layers]))
        tuned = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
        try:
            figures = self._train(network, TrainingStream(shares, task, seeds, self.augment), None, run_dir, task, trainer, False)
        except Interrupted as err:
            raise Interrupted("fine-tuning", err.found, "start it again: the model is as it was") from err
        network.requires_grad_(True)
        moved = any(not torch.equal(old, new) for old, new in zip(before, statistics(network), strict=True))
        kept = {name: figures[name] for name in ("step", "seconds", "parameters")}
        return {**kept, "tuned_parameters": tuned, "statistics_moved": moved}

    def _train(
        self,
        network: Network,
        stream: TrainingStream,
        valid: ValidationSet | None,
        run_dir: Path,
        task: Task,
        trainer: TrainerOptions,
        resume: bool,
    ) -> dict[str, Any]:
        from skyreel_rcnn.training import train  # Lightning takes seconds to import; classifying does without

        spec = {"task": task_to_json(task), "options": asdict(self), "seed": stream.seeds.root}
        figures = train(network, stream, valid, Path(run_dir), trainer, spec=spec, reduction=self.loss, resume=resume)
        self.task = task
        self._use(network)
        return figures

    def _use(self, network: Network) -> None:
        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self._trained = network.eval()
        self._inference = (fold(network) if self.norm_order == "norm_first" else network).to(device)

    def _network(self) -> Network:
        self._task()
        assert self._trained is not None
        return self._trained

    # ------------------------------------------------------------------------------------------ inference

    def predict(self, movies: Movies) -> Predictions:
        """Probabilities after every usable image (see `interfaces.Classifier.predict`).

        Images before the n_w-th are classified by themselves, from a zero LSTM state; the recurrence starts with the
        first complete stack, as in training.
        """
        task = self._task()
        movies = fitted(movies, task)
        n, epochs = movies.frame_mask.shape
        probabilities = np.full((n, epochs, len(task.classes)), np.nan, np.float32)
        complete = np.zeros((n, epochs), np.bool_)
        for start in range(0, n, PREDICT_BATCH):
            rows = np.arange(start, min(start + PREDICT_BATCH, n))
            sequences = build_sequences(movies.take(rows), task.sequence, incomplete=True)
            hidden = np.zeros((len(rows), self.lstm), np.float32)
            out, _, _ = self._advance(sequences, hidden, hidden)
            row, step = np.nonzero(sequences.mask)
            place = rows[row], sequences.frame[row, step]
            probabilities[place] = out[row, step]
            complete[place] = sequences.complete[row, step]
        return Predictions(task.classes, probabilities, movies.frame_mask.copy(), complete)

    # TF32's ten-bit mantissas would part one image at a time from whole movies by more than 1e-5.
    @torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    @torch.inference_mode()
    def _advance(
        self, sequences: Sequences, hidden: NDArray[np.float32], cell: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities (n, S, classes) after S more steps, and the LSTM's state after the S-th (padding included)."""
        assert self._inference is not None
        network, device = self._inference, self._inference.head.weight.device
        batch = as_batch(sequences, np.zeros(sequences.n, np.int64))
        out = np.full((*sequences.mask.shape, len(self.classes)), np.nan, np.float32)
        if not sequences.mask.any():
            return out, hidden, cell
        inputs = network.inputs(*(column.to(device) for column in batch[:3]))
        kept = torch.from_numpy(sequences.complete[sequences.mask])
        first = inputs[~kept]
        if len(first):
            logits, _ = network.recur(first[:, None], network.zero_state(len(first)))
            out[sequences.mask & ~sequences.complete] = torch.softmax(logits[:, 0], 1).cpu().numpy()
        rows = np.flatnonzero(sequences.complete.any(axis=1))
        if len(rows):
            # Complete steps follow the incomplete ones: moved to the front, padding comes last and touches no result.
            lengths = sequences.complete[rows].sum(axis=1)
            filled = torch.from_numpy(np.arange(lengths.max()) < lengths[:, None])
            packed = inputs.new_zeros(*filled.shape, inputs.shape[1])
            packed[filled] = inputs[kept]
            start = tuple(torch.from_numpy(array[rows]).to(device) for array in (hidden, cell))
            logits, (new_hidden, new_cell) = network.recur(packed, (start[0], start[1]))
            out[sequences.complete] = torch.softmax(logits, 2).cpu().numpy()[filled.numpy()]
            hidden, cell = hidden.copy(), cell.copy()
            hidden[rows], cell[rows] = new_hidden.cpu().numpy(), new_cell.cpu().numpy()
        return out, hidden, cell

    def initial_state(self, n: int) -> RCNNState:
        """State of n objects before their first image."""
        task = self._task()
        conditions = n_conditions(task.sequence, task.bands)
        sequence = initial_sequence_state(n, task.sequence, len(task.channels), task.stamp_size, conditions)
        zeros = np.zeros((n, self.lstm), np.float32)
        return RCNNState(sequence, zeros, zeros.copy())

    def step(self, state: RCNNState, frame: NDArray[np.float32], exposure: Exposures) -> tuple[NDArray[np.float32], RCNNState]:
        """One more image of each object (see `interfaces.Classifier.step`); NaN marks pixels without data."""
        task = self._task()
        unusable = np.isnan(frame)
        bits = np.where(unusable, np.uint8(PixelBits.NO_DATA), np.uint8(0))
        exposure = in_task_bands(exposure, task)
        step, sequence = advance(state.sequence, np.where(unusable, np.float32(0), frame), exposure, task.sequence, bits)
        out, hidden, cell = self._advance(step, state.hidden, state.cell)
        return out[:, 0], RCNNState(sequence, hidden, cell)

    def state_to_bytes(self, state: RCNNState) -> bytes:
        """The state as safetensors behind their SHA-256."""
        return state.to_bytes()

    def state_from_bytes(self, data: bytes) -> RCNNState:
        """The inverse of `state_to_bytes`; ModelError for damaged bytes."""
        return RCNNState.from_bytes(data, self.lstm)

    # ---------------------------------------------------------------------------------------------- disk

    def save(self, folder: Path) -> None:
        """Writes model.json and weights.safetensors; OutputError where that fails."""
        write_model(Path(folder), self._network().state_dict(), asdict(self), self._task())

    @classmethod
    def load(cls, folder: Path) -> RCNN:
        """Reads what `save` wrote; ModelError for a missing, damaged or foreign folder."""
        weights, options, task = read_model(Path(folder))
        try:
            model = cls(**options)
            with torch.random.fork_rng(devices=[]):
                network = model.build(task)
        except (TypeError, ConfigError) as err:
            raise ModelError(f"model {folder}", f"options of another version ({err})", "train anew") from err
        load_weights(network, weights, Path(folder))
        model.task = task
        model._use(network)
        return model

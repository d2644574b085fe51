"""What the network remembers of every object between two images, and its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from skyreel.errors import DataError, ModelError
from skyreel.stepwise import SequenceState

DIGEST = 32
"""Bytes of SHA-256 ahead of the arrays: a flipped bit is told from a state."""


@dataclass(frozen=True)
class RCNNState:
    """State of n objects.

    Attributes
    ----------
    sequence : SequenceState
        Last images and references of the preprocessing.
    hidden, cell : float32 (n, units)
        Of the LSTM; zero until the first complete stack.
    """

    sequence: SequenceState
    hidden: NDArray[np.float32]
    cell: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """SHA-256, then the arrays as safetensors."""
        arrays = {f"sequence.{name}": array for name, array in self.sequence.to_arrays().items()}
        arrays |= {"hidden": self.hidden, "cell": self.cell}
        data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        return hashlib.sha256(data).digest() + data

    @classmethod
    def from_bytes(cls, data: bytes, units: int) -> RCNNState:
        """The inverse of `to_bytes`; ModelError for damaged bytes or another number of LSTM units."""
        digest, body = data[:DIGEST], data[DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            raise ModelError("reading a state", f"{len(data)} damaged or foreign bytes", "start from initial_state()")
        try:
            arrays = load(body)
            inner = {name.removeprefix("sequence."): array for name, array in arrays.items() if name.startswith("sequence.")}
            state = cls(SequenceState.from_arrays(inner), arrays["hidden"], arrays["cell"])
        except (SafetensorError, KeyError, DataError) as err:
            raise ModelError("reading a state", f"bytes of something else ({err})", "start from initial_state()") from err
        wanted = (len(state.sequence.count), units)
        if state.hidden.shape != wanted or state.cell.shape != wanted:
            raise ModelError("reading a state", f"LSTM state {state.hidden.shape}, not {wanted}", "use the model that wrote it")
        return state

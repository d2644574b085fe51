"""Checkpoints of a training without pickle: weights, moving averages and optimiser state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skyreel.errors import ConfigError, ModelError, OutputError
from skyreel_rcnn.files import load_weights, read_tensors, versions, write_json, write_tensors
from skyreel_rcnn.module import TrainingModule
from skyreel_rcnn.network import Network

WEIGHTS, OPTIMISER = "network.", "optimiser."


class Checkpoints:
    """``last`` and ``best`` in `folder`, each as .safetensors with its description also as .json.

    Parameters
    ----------
    folder : Path
    spec : mapping
        What a resumed run must agree in (task, options, seed), as JSON values.
    """

    def __init__(self, folder: Path, spec: Mapping[str, Any]) -> None:
        self.folder = folder
        self.spec = json.loads(json.dumps(spec))

    def refuse_other_run(self) -> None:
        """OutputError where the folder holds a run already."""
        if (self.folder / "last.safetensors").exists():
            raise OutputError(
                f"a new training in {self.folder.parent}", "checkpoints of an earlier run", "resume it or choose another folder"
            )

    def write_last(self, module: TrainingModule, progress: Mapping[str, Any]) -> None:
        """All that is needed to go on from here."""
        tensors = {WEIGHTS + name: tensor for name, tensor in module.network.state_dict().items()}
        for index, state in module.trainer.optimizers[0].state_dict()["state"].items():
            tensors |= {f"{OPTIMISER}{index}.{name}": tensor for name, tensor in state.items()}
        self._write("last", tensors, progress)

    def write_best(self, network: Network, progress: Mapping[str, Any]) -> None:
        """The weights with the lowest validation loss so far."""
        self._write("best", {WEIGHTS + name: tensor for name, tensor in network.state_dict().items()}, progress)

    def _write(self, name: str, tensors: Mapping[str, Any], progress: Mapping[str, Any]) -> None:
        description = {"progress": dict(progress), "versions": versions(), **self.spec}
        write_tensors(self.folder / f"{name}.safetensors", tensors, description)
        write_json(self.folder / f"{name}.json", description)

    def read_last(self, module: TrainingModule) -> dict[str, Any]:
        """Puts `module` back to the last checkpoint and returns what was handed to `write_last` as `progress`.

        Raises
        ------
        ModelError
            Without a readable checkpoint.
        ConfigError
            If it belongs to another task, other options or another seed.
        """
        path = self.folder / "last.safetensors"
        if not path.is_file():
            raise ModelError(f"resuming {self.folder.parent}", "it holds no checkpoint", "start the training without resume")
        tensors, description = read_tensors(path)
        for key, wanted in self.spec.items():
            if description.get(key) != wanted:
                raise ConfigError(
                    f"resuming {self.folder.parent} with {key} {wanted}", f"{description.get(key)}", "resume with the run's own config"
                )
        load_weights(module.network, {k.removeprefix(WEIGHTS): v for k, v in tensors.items() if k.startswith(WEIGHTS)}, path)
        state: dict[int, dict[str, Any]] = {}
        for key, tensor in tensors.items():
            if key.startswith(OPTIMISER):
                index, _, name = key.removeprefix(OPTIMISER).partition(".")
                state.setdefault(int(index), {})[name] = tensor
        module.optimiser_state = state
        module.step = int(description["progress"]["step"])
        return dict(description["progress"])

    def read_best(self, network: Network) -> None:
        """Puts `network` to the best checkpoint."""
        path = self.folder / "best.safetensors"
        tensors, _ = read_tensors(path)
        load_weights(network, {k.removeprefix(WEIGHTS): v for k, v in tensors.items()}, path)

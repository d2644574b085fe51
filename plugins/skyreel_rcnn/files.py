"""Tensors and their description on disk: safetensors with JSON, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from skyreel.errors import ModelError
from skyreel.files import write_bytes

DESCRIPTION = "skyreel"
"""Key of the JSON description in the header of a safetensors file."""


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """`values` as JSON, atomically."""
    write_bytes(path, (json.dumps(values, indent=1) + "\n").encode())


def write_tensors(path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> str:
    """Tensors and their description in one safetensors file, atomically; returns its SHA-256."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = save(plain, {DESCRIPTION: json.dumps(description)})
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The inverse of `write_tensors`; ModelError for a missing, damaged or foreign file."""
    if not path.is_file():
        raise ModelError(f"reading {path}", "no such file", "name the folder of a run that has written one")
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[DESCRIPTION])
            return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as err:
        raise ModelError(f"reading {path}", f"a damaged or foreign file ({err})", "copy it again or train anew") from err


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_weights(network: torch.nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Fills `network`; ModelError for missing, foreign or misshapen tensors."""
    try:
        network.load_state_dict(dict(tensors))
    except (RuntimeError, TypeError) as err:
        raise ModelError(f"reading {where}", f"weights of another network ({err})", "train it again with these options") from err


def versions() -> dict[str, str]:
    """Versions of what a model depends on."""
    names = ("skyreel", "torch", "pytorch-lightning", "numpy", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}

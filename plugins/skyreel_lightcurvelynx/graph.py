"""A model's parameters as a table: sampled once by LightCurveLynx, kept as columns, and handed back object by object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skyreel.errors import ConfigError, DataError
from skyreel.interfaces import Array, Params

PROBES = 4
"""Objects drawn to see which parameters are numbers and whether the draws obey the generator."""


@dataclass
class Graph:
    """A model and the models it is made of.

    Parameters
    ----------
    model : lightcurvelynx BasePhysicalModel
    dated : bool
        `sample` is handed the dates ``t0``, for the model and its parts alike.

    Attributes
    ----------
    parts : list of BasePhysicalModel
        The model itself first.
    fixed : dict of (str, str) to object
        Node and parameter -> value, for parameters that are no numbers; they must be equal for all objects.
    columns : dict of str to (str, str)
        Column of the table -> node and parameter. The model's own parameters carry their names alone.

    Raises
    ------
    ConfigError
        For a model whose parameters cannot be a table of numbers, or do not obey the generator they are given.
    """

    model: Any
    dated: bool = False
    parts: list[Any] = field(init=False)
    fixed: dict[tuple[str, str], Any] = field(init=False, default_factory=dict)
    columns: dict[str, tuple[str, str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.model.set_graph_positions()
        self.parts = list(_parts(self.model))
        dates = np.arange(float(PROBES)) if self.dated else None
        first, second = (self._state(PROBES, np.random.default_rng(1), dates) for _ in range(2))
        for part in self.parts:
            node = str(part)
            for name, value in first.get(node, {}).items():
                self._enter(part, node, name, value, second[node][name])

    def _enter(self, part: Any, node: str, name: str, value: Any, again: Any) -> None:
        column = name if part is self.model else f"{node}.{name}"
        array = np.asarray(value)
        if array.dtype.kind in "fiub" and array.shape == (PROBES,):
            if not np.array_equal(array, np.asarray(again), equal_nan=array.dtype.kind == "f"):
                raise ConfigError(
                    f"parameter {column!r}",
                    "two draws from the same generator differ: it has random numbers or a counter of its own",
                    "set it by a node that uses the generator it is given (rng_info)",
                )
            self.columns[column] = (node, name)
        elif all(_same(item, value[0]) for item in value):
            self.fixed[node, name] = value[0]
        else:
            raise ConfigError(f"parameter {column!r}", f"{value[0]!r} is no number and differs from object to object", "draw numbers")

    def _state(self, n: int, rng: np.random.Generator, t0: Array | None) -> dict[str, dict[str, Any]]:
        date = t0[0] if t0 is not None and n == 1 else t0  # LightCurveLynx keeps a single object's values as scalars
        given = None if date is None else {str(part): {"t0": date} for part in self.parts}
        states = self.model.sample_parameters(given_args=given, num_samples=n, rng_info=rng)
        if states.num_samples != n:
            raise ConfigError(
                "model", f"{n} objects asked for, it draws {states.num_samples}", "leave out nodes that expand or filter the draws"
            )
        if n > 1:
            return dict(states.states)
        return {node: {name: [value] for name, value in entries.items()} for node, entries in states.states.items()}

    def sample(self, n: int, rng: np.random.Generator, t0: Array | None = None) -> Params:
        """The table of n objects; their dates `t0` (n,) [MJD] are needed where the model is `dated`."""
        drawn = self._state(max(n, 1), rng, np.zeros(1) if self.dated and not n else t0)
        return {column: np.asarray(drawn[node][name], np.float64)[:n] for column, (node, name) in self.columns.items()}

    def states(self, params: Params) -> Iterator[Any]:
        """LightCurveLynx's ``GraphState`` of every row of a table.

        Raises
        ------
        DataError
            If a column is missing.
        """
        from lightcurvelynx.graph_state import GraphState

        missing = [column for column in self.columns if column not in params]
        if missing:
            raise DataError("source.light_curve", f"params lack {', '.join(missing)}", "hand in the table that `sample` returned")
        for row in range(len(next(iter(params.values()), ()))):
            state = GraphState(1)
            for (node, name), value in self.fixed.items():
                state.set(node, name, value)
            for column, (node, name) in self.columns.items():
                state.set(node, name, params[column][row])
            yield state


def _parts(model: Any) -> Iterator[Any]:
    """The model and, for a sum or a choice of several, its members."""
    yield model
    for member in getattr(model, "objects", ()):
        yield from _parts(member)


def _same(a: Any, b: Any) -> bool:
    return a is b or bool(np.array_equal(np.asarray(a, object), np.asarray(b, object)))

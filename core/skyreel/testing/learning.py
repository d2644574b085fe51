"""Checks of classifiers: shapes and probabilities, stepwise equals batch, state and model on disk, errors.

Every check trains a new instance's twin for two steps on toy movies, once per class and options, and works on that.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import BandError, DataError, ModelError
from skyreel.interfaces import Classifier, TrainerOptions
from skyreel.movies import Movies
from skyreel.testing.packaging import must_raise
from skyreel.testing.toys import toy_movies, toy_task

CLASSES = ("supernova", "rr_lyrae", "non_variable")
BANDS = ("g", "r")
EPOCHS = 7
N = 6
STEPWISE = 1e-5
"""Largest difference between probabilities frame by frame and of the whole movie."""

TRAINER = TrainerOptions(max_steps=2, batch_size=6, valid_every=2, valid_max=6, accelerator="cpu", threads=1, progress=False)
CODE_FORMATS = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".npy"}
"""Endings of files that can execute code when they are read; .npy only with object arrays, but weights need none."""


@cache
def movies() -> Movies:
    """The toy movies of these checks; some frames of some objects are unusable."""
    toys = toy_movies(N, EPOCHS, CLASSES, bands=BANDS)
    usable = toys.frame_mask.copy()
    usable[1, 3] = False
    usable[2, -2:] = False
    usable[3, 0] = False
    return dataclasses.replace(toys, frame_mask=usable)


_TRAINED: dict[tuple[type, str], tuple[Classifier, Any, Path]] = {}
_FOLDER = tempfile.TemporaryDirectory(prefix="skyreel-conformance-")


def _trained(classifier: Any) -> Classifier:
    return _fit(classifier)[0]


def _fit(classifier: Any) -> tuple[Classifier, Any, Path]:
    key = (type(classifier), repr(dataclasses.asdict(classifier)))
    if key not in _TRAINED:
        twin = type(classifier)(**{f.name: getattr(classifier, f.name) for f in dataclasses.fields(classifier) if f.init})
        run_dir = Path(_FOLDER.name) / f"fit-{len(_TRAINED)}"
        run_dir.mkdir()
        toys = toy_movies(2 * N, EPOCHS, CLASSES, bands=BANDS, seed=1)
        figures = twin.fit(toys, movies(), run_dir, task=toy_task(toys, CLASSES), trainer=TRAINER)
        _TRAINED[key] = (twin, figures, run_dir)
    return _TRAINED[key]


def classifier_fit(classifier: Classifier) -> None:
    """`fit` learns the task's classes and bands, returns figures, and leaves no file that can execute code."""
    fitted, figures, run_dir = _fit(classifier)
    assert fitted.classes == CLASSES, f"classes are {fitted.classes}, the task's are {CLASSES}"
    assert fitted.bands == BANDS, f"bands are {fitted.bands}, the task's are {BANDS}"
    assert len(figures) > 0, "fit returns no figures of the training"
    _no_code(run_dir)


def classifier_untrained(classifier: Classifier) -> None:
    """A classifier that is neither trained nor loaded answers with a DataError."""
    with must_raise(DataError, "predict before fit or load"):
        classifier.predict(movies())


def classifier_predict(classifier: Classifier) -> None:
    """`predict` gives (n, T, C) probabilities that sum to 1 on usable frames and are NaN elsewhere."""
    fitted = _trained(classifier)
    out = fitted.predict(movies())
    n, epochs = movies().frame_mask.shape
    assert out.classes == CLASSES, f"classes are {out.classes}"
    assert out.probabilities.shape == (n, epochs, len(CLASSES)), f"probabilities have shape {out.probabilities.shape}"
    assert out.probabilities.dtype == np.float32, f"probabilities are {out.probabilities.dtype}, not float32"
    assert np.array_equal(out.mask, movies().frame_mask), "the mask is not that of the usable frames"
    assert np.isnan(out.probabilities[~out.mask]).all(), "unusable frames must have NaN"
    used = out.probabilities[out.mask]
    assert ((used >= 0) & (used <= 1)).all(), "probabilities lie outside 0..1"
    np.testing.assert_allclose(used.sum(axis=1), 1.0, atol=1e-5, err_msg="probabilities do not sum to 1")
    assert np.array_equal(out.probabilities, fitted.predict(movies()).probabilities, equal_nan=True), "two calls of predict differ"


def classifier_complete(classifier: Classifier) -> None:
    """`complete` is False until n_w usable images have been seen, True from then on."""
    fitted = _trained(classifier)
    assert fitted.task is not None
    out = fitted.predict(movies())
    seen = np.cumsum(movies().frame_mask, axis=1)
    expected = movies().frame_mask & (seen >= fitted.task.sequence.n_stacked)
    assert np.array_equal(out.complete & out.mask, expected), "complete does not turn True with the n_w-th usable image"


def classifier_causal(classifier: Classifier) -> None:
    """Later images never change earlier probabilities."""
    fitted = _trained(classifier)
    whole = fitted.predict(movies()).probabilities[:, :4]
    first = movies()
    usable = first.frame_mask.copy()
    usable[:, 4:] = False
    start = fitted.predict(dataclasses.replace(first, frame_mask=usable)).probabilities[:, :4]
    np.testing.assert_allclose(start, whole, atol=STEPWISE, err_msg="probabilities depend on later images")


def classifier_rows(classifier: Classifier) -> None:
    """An object alone has the probabilities it has in a batch."""
    fitted = _trained(classifier)
    batch = fitted.predict(movies()).probabilities
    for i in (0, 3):
        alone = fitted.predict(movies().take([i])).probabilities[0]
        np.testing.assert_allclose(alone, batch[i], atol=STEPWISE, err_msg=f"object {i} alone differs from its batch")


def _frame(store: Movies, epoch: int) -> tuple[NDArray[np.float32], Any]:
    one = store.reported.gather(np.full((len(store), 1), epoch), np.ones((len(store), 1), np.bool_))
    return store.pixels[:, epoch].astype(np.float32), one.replace(mask=store.frame_mask[:, epoch : epoch + 1])


def _stepwise(fitted: Classifier, state: Any, epochs: range) -> tuple[NDArray[np.float32], Any]:
    out = []
    for epoch in epochs:
        probabilities, state = fitted.step(state, *_frame(movies(), epoch))
        out.append(probabilities)
    return np.stack(out, axis=1), state


def classifier_stepwise(classifier: Classifier) -> None:
    """Frames fed one at a time give the probabilities of the whole movie to `STEPWISE`; unusable frames give NaN."""
    fitted = _trained(classifier)
    stepwise, _ = _stepwise(fitted, fitted.initial_state(N), range(EPOCHS))
    whole = fitted.predict(movies()).probabilities
    np.testing.assert_allclose(stepwise, whole, atol=STEPWISE, err_msg="stepwise differs from batch")


def classifier_state(classifier: Classifier) -> None:
    """`step` leaves its argument alone; the state survives bytes; damaged bytes are a ModelError."""
    fitted = _trained(classifier)
    _, state = _stepwise(fitted, fitted.initial_state(N), range(3))
    data = fitted.state_to_bytes(state)
    assert isinstance(data, bytes), f"state_to_bytes gives {type(data).__name__}, not bytes"
    first, _ = _stepwise(fitted, state, range(3, EPOCHS))
    assert fitted.state_to_bytes(state) == data, "step changes the state it is given"
    again, _ = _stepwise(fitted, fitted.state_from_bytes(data), range(3, EPOCHS))
    assert np.array_equal(first, again, equal_nan=True), "a state that went through bytes gives other probabilities"
    for damaged in (b"", data[: len(data) // 2]):
        with must_raise(ModelError, "damaged state bytes"):
            fitted.state_from_bytes(damaged)


def classifier_save(classifier: Classifier) -> None:
    """A model that went to disk gives the same bytes; its folder holds model.json and nothing that can execute code."""
    fitted = _trained(classifier)
    with tempfile.TemporaryDirectory(dir=_FOLDER.name) as folder:
        fitted.save(Path(folder))
        assert (Path(folder) / "model.json").is_file(), "save leaves no model.json"
        _no_code(Path(folder))
        loaded = type(fitted).load(Path(folder))
        assert loaded.task == fitted.task, "the loaded model has another task"
        before, after = (model.predict(movies()).probabilities.tobytes() for model in (fitted, loaded))
        assert before == after, "the loaded model gives other probabilities"


def classifier_damaged_model(classifier: Classifier) -> None:
    """A missing, empty or truncated model folder is a ModelError."""
    fitted = _trained(classifier)
    with tempfile.TemporaryDirectory(dir=_FOLDER.name) as folder:
        root = Path(folder)
        with must_raise(ModelError, "a missing model folder"):
            type(fitted).load(root / "missing")
        with must_raise(ModelError, "an empty model folder"):
            type(fitted).load(root)
        fitted.save(root)
        for file in (path for path in root.rglob("*") if path.is_file()):
            whole = file.read_bytes()
            file.write_bytes(whole[: len(whole) // 2])
            with must_raise(ModelError, f"{file.name} cut in half"):
                type(fitted).load(root)
            file.write_bytes(whole)


def classifier_errors(classifier: Classifier) -> None:
    """An unseen band is a BandError; NaN in a usable frame, another stamp size and an empty sequence are DataErrors."""
    fitted = _trained(classifier)
    toys = movies()
    with must_raise(BandError, "a band the model has never seen"):
        fitted.predict(dataclasses.replace(toys, reported=toys.reported.replace(bands=("g", "no_such_band"))))
    spoilt = toys.pixels.astype(np.float32)
    spoilt[0, 0, 0, 3, 3] = np.nan
    with must_raise(DataError, "NaN in a usable frame"):
        fitted.predict(dataclasses.replace(toys, pixels=spoilt))
    with must_raise(DataError, "stamps of another size"):
        fitted.predict(toy_movies(2, EPOCHS, CLASSES, size=15, bands=BANDS))
    with must_raise(DataError, "a movie without usable frames"):
        fitted.predict(dataclasses.replace(toys, frame_mask=np.zeros_like(toys.frame_mask)))


def _no_code(folder: Path) -> None:
    found = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in CODE_FORMATS]
    assert not found, f"files that can execute code when read: {', '.join(found)}"


LEARNING: dict[str, dict[str, Callable[[Any], None]]] = {
    "classifier": {
        "fit": classifier_fit,
        "untrained": classifier_untrained,
        "predict": classifier_predict,
        "complete": classifier_complete,
        "causal": classifier_causal,
        "rows": classifier_rows,
        "stepwise": classifier_stepwise,
        "state": classifier_state,
        "save": classifier_save,
        "damaged_model": classifier_damaged_model,
        "errors": classifier_errors,
    }
}
"""Kind -> label -> check(component)."""

"""Short trainings of the network on `rcnn_toys`, and stores that interrupt them."""

from dataclasses import replace

import numpy as np
from rcnn_toys import CLASSES, Store, movies, task, tiny, trainer
from safetensors.torch import load_file

from skyreel_rcnn.layers import BatchRenorm

TRAIN, VALID = Store(movies(48, seed=3)), Store(movies(16, seed=4))


def fit(folder, model=None, **options):
    model = model or tiny()
    resume = options.pop("resume", False)
    store = options.pop("store", TRAIN)
    figures = model.fit(store, VALID, folder, task=task(), trainer=trainer(**options), seed=7, resume=resume)
    return model, figures


def weights(folder, name="last"):
    return load_file(folder / "checkpoints" / f"{name}.safetensors")


class Stopper(Store):
    """A store at whose k-th batch something happens."""

    def __init__(self, movies, at, action):
        super().__init__(movies)
        self.at, self.action, self.asked = at, action, 0

    def take(self, objects):
        self.asked += 1
        if self.asked == self.at:
            self.action()
        return super().take(objects)


def interrupt():
    raise KeyboardInterrupt


def exchanged(movies):
    """The same movies under the other class's name."""
    return replace(movies, label=np.where(movies.label == CLASSES[0], CLASSES[1], CLASSES[0]))


def norms(model):
    """Every batch renormalisation of a model's network."""
    return [layer for layer in model._network().modules() if isinstance(layer, BatchRenorm)]

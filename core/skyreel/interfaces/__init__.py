"""What each kind of component must offer.

Abstract base classes, so that a later method can carry a default. A component is a dataclass whose fields are its
Hydra options, and works on batches of n objects with T epochs as arrays.

Shapes: n objects, T epochs, B bands, C channels, H x W pixels, J basis images of M x M samples.
"""

from __future__ import annotations

from skyreel.interfaces.classifier import Classifier, MovieStore, Predictions, Task, TrainerOptions
from skyreel.interfaces.optics import PSF, Detector, Effect, Host, PixelBits
from skyreel.interfaces.source import HostPolicy, LightCurve, Source
from skyreel.interfaces.survey import Camera, Survey
from skyreel.interfaces.vocabulary import CLASSES, Array, Params, class_order

__all__ = [
    "CLASSES",
    "PSF",
    "Array",
    "Camera",
    "Classifier",
    "Detector",
    "Effect",
    "Host",
    "HostPolicy",
    "LightCurve",
    "MovieStore",
    "Params",
    "PixelBits",
    "Predictions",
    "Source",
    "Survey",
    "Task",
    "TrainerOptions",
    "class_order",
]

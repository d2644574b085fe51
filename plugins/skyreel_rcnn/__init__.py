"""The recurrent convolutional network of Carrasco-Davis et al. 2018 (Table 3)."""

from skyreel import Component, hookimpl


@hookimpl
def skyreel_classifiers() -> list[Component]:
    """Classifiers."""
    return [Component("rcnn", "skyreel_rcnn.classifier:RCNN", "recurrent convolutional network (Lightning)")]

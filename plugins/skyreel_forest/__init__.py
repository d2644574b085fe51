"""The light-curve random forest that the network is measured against (section 3.3 of Carrasco-Davis et al. 2018)."""

from skyreel import Component, hookimpl


@hookimpl
def skyreel_classifiers() -> list[Component]:
    """Classifiers."""
    return [Component("forest", "skyreel_forest.classifier:Forest", "light-curve features in a random forest or boosted trees")]

"""Simulated and real light curves in two dimensions: figure 14 of the paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.evaluate.exhibits_parts import FEATURES, Curves
from skyreel.evaluate.figures_style import GRID, TEXT, Drawing, class_style, new_figure, title
from skyreel.evaluate.names import long_name
from skyreel.interfaces import class_order

PERPLEXITY, ITERATIONS = 40, 1000
"""As in figure 14 of the paper."""
LIMIT = 4.0
"""Standardised features are squeezed smoothly beyond about this many standard deviations."""


def standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features of all curves on one scale: sinh^-1 of (x - median) / s, less its mean, over its standard deviation.

    s is half the distance from the 16th to the 84th percentile. Features of light curves have tails over many decades
    (fluxes, slopes): without the inverse hyperbolic sine a few bright objects take the whole scale. Columns without any
    spread become 0; what remains beyond `LIMIT` is brought to it.

    Parameters
    ----------
    values : (n, F)
        Finite.
    """
    low, middle, high = np.percentile(values, [16, 50, 84], axis=0)
    half = 0.5 * (high - low)
    scale = np.where(half > 0, half, np.where(values.std(axis=0) > 0, values.std(axis=0), 1.0))
    bent = np.arcsinh((values - middle) / scale)
    spread = bent.std(axis=0)
    return np.asarray(np.clip((bent - bent.mean(axis=0)) / np.where(spread > 0, spread, 1.0), -LIMIT, LIMIT))


def embedding(curves: Curves, seed: int = 0) -> NDArray[np.float64]:
    """Positions (n, 2) of all curves, simulated and real together, by t-SNE (van der Maaten & Hinton 2008).

    Scikit-learn's Barnes-Hut version, perplexity 40, 1000 iterations, starting from the first two principal components,
    on `standardised` features. Takes about 20 s for 2,500 curves.

    Parameters
    ----------
    curves : Curves
    seed : int

    Raises
    ------
    DataError
        For features that are not finite, or no more curves than the perplexity.
    """
    from sklearn.manifold import TSNE

    if len(curves) <= PERPLEXITY:
        raise DataError("t-SNE", f"{len(curves)} light curves", f"a perplexity of {PERPLEXITY} asks for more than that many")
    if not np.isfinite(curves.values).all():
        raise DataError("t-SNE", "features that are not finite", "compute them with skyreel.features.compute")
    model = TSNE(n_components=2, perplexity=PERPLEXITY, max_iter=ITERATIONS, init="pca", random_state=seed, n_jobs=1)
    return np.asarray(model.fit_transform(standardised(curves.values)), np.float64)


def embedding_figure(curves: Curves, data: str = "real", seed: int = 0, places: NDArray[np.float64] | None = None) -> Drawing:
    """Three panels of one embedding: simulated curves, real ones, simulated with the labelled real ones (figure 14).

    Parameters
    ----------
    curves : Curves
    data : str
        Name of the real set.
    seed : int
        Of the embedding.
    places : (n, 2) or None
        What `embedding` returned; None computes it.
    """
    places = embedding(curves, seed) if places is None else places
    simulated, labelled = ~curves.real, curves.labelled & curves.real
    panels = {
        f"simulated ({simulated.sum()})": (simulated, np.zeros_like(simulated)),
        f"{data} ({curves.real.sum()})": (curves.real, np.zeros_like(simulated)),
        f"augmented: simulated + {labelled.sum()} of {data}": (simulated, labelled),
    }
    figure = new_figure(13.2, 5.2)
    names = class_order(sorted(set(curves.label.tolist())))
    all_axes = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, (text, (plain, marked)) in zip(all_axes, panels.items(), strict=True):
        title(axes, text)
        for name in names:
            style = class_style(name, names)
            rows = plain & (curves.label == name)
            axes.scatter(*places[rows].T, s=9, color=style["color"], marker=style["marker"], linewidth=0, alpha=0.75)
            rows = marked & (curves.label == name)
            axes.scatter(*places[rows].T, s=70, color=style["color"], marker=style["marker"], edgecolor="black", linewidth=1.1, zorder=3)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(GRID)
        axes.set_xlabel("t-SNE 1", color=TEXT)
    all_axes[0].set_ylabel("t-SNE 2", color=TEXT)
    styles = [class_style(name, names) for name in names]
    handles = [all_axes[0].scatter([], [], s=40, color=style["color"], marker=style["marker"]) for style in styles]
    figure.legend(handles, [long_name(name) for name in names], loc="outside lower center", ncols=min(len(names), 7), frameon=False)
    numbers = {name: int((labelled & (curves.label == name)).sum()) for name in names}
    counts = ", ".join(f"{long_name(name)} {number}" for name, number in numbers.items() if number)
    caption = (
        f"t-SNE (perplexity {PERPLEXITY}, {ITERATIONS} iterations, seed {seed}) of {simulated.sum()} simulated and "
        f"{curves.real.sum()} real light curves ({data}), one embedding in three panels, from the features {', '.join(FEATURES)}. "
        f"Each feature is centred on its median, divided by half its 16–84 % range, passed through asinh and standardised. Right: "
        f"the simulated curves with the labelled real ones, outlined in black ({counts or 'none'}). Distances between groups and "
        f"the sizes of groups carry no meaning in t-SNE."
    )
    return Drawing(figure, caption)

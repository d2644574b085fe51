"""Writes the two notebooks of this folder from their cells and executes them: ``make notebooks``."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent

LOOK = [
    """# Simulate and look

A movie is what a survey sees of one object: a stack of small stamps, one per exposure. This notebook composes a
simulation from plugins, makes a block of movies per class and looks at the images and at what is known about them.""",
    """import numpy as np
from matplotlib import pyplot as plt

from skyreel.hydra_glue import compose
from skyreel.simulate.run import build, simulation_config

config = compose("simulate", ["experiment=quickstart", "source=[supernova,rr_lyrae,asteroid]", "seed=1"])
simulation = build(simulation_config(config))
{label: simulation.block("notebook", label, 0).pixels.shape for label in simulation.sources}""",
    """The axes are (objects, epochs, channels, height, width), in raw counts with sky. `reported` holds what a classifier may
know about each exposure, `truth` what only the simulation knows.""",
    """movies = simulation.block("notebook", "supernova", 0)
row = int(np.argmax(movies.truth.flux.max(axis=1)))
n = int(movies.frame_mask[row].sum())
fig, axes = plt.subplots(1, n, figsize=(1.1 * n, 1.6))
sky = movies.reported.sky[row]
for k, ax in enumerate(axes):
    ax.imshow(np.arcsinh((movies.pixels[row, k, 0] - sky[k]) / 30.0), cmap="gray_r", vmin=-1, vmax=5)
    ax.set(xticks=[], yticks=[], title=f'{movies.reported.seeing[row, k]:.1f}"')
fig.suptitle(f"{movies.object_id[row]}, z = {movies.truth.params['redshift'][row]:.2f}; titles: seeing")
plt.show()""",
    """Light curves of the three classes, in counts (the noise is in the images, not in the curves):""",
    """fig, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
for ax, label in zip(axes, simulation.sources):
    movies = simulation.block("notebook", label, 0)
    for row in range(4):
        use = movies.frame_mask[row]
        ax.plot(movies.reported.mjd[row, use], movies.truth.flux[row, use], "o-", ms=3)
    ax.set(title=label, xlabel="MJD [d]", ylabel="flux [ADU]")
    ax.set_yscale("symlog", linthresh=100)
plt.show()""",
    """`skyreel simulate ... output=movies/` writes the same movies to disk; `skyreel plugins` lists every option.""",
]

TRAIN = [
    """# Train and classify

A very small network on three classes, trained for a minute or so, then fed image by image. For scores worth quoting
use `skyreel train experiment=quickstart`.""",
    """import shutil
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from skyreel.hydra_glue import compose
from skyreel.models import load_model
from skyreel.simulate.run import simulate_movies
from skyreel.verbs import train

place = Path("runs") / "notebook"
shutil.rmtree(place, ignore_errors=True)
overrides = ["experiment=quickstart", "source=[supernova,asteroid,non_variable]", "n_objects=256", "executor=inprocess"]
overrides += ["trainer.max_steps=80", "trainer.valid_every=40", "trainer.progress=false"]
config = compose("train", overrides)
recall = train.run(config, place)""",
    """The run's folder now holds the model, `metrics.json` and a report. Load it and classify movies it has not seen:""",
    """model = load_model(place)
movies = simulate_movies(compose("simulate", overrides[:2]), "unseen", 32)
out = model.predict(movies)
print("after the last image:")
for label in model.classes:
    rows = np.flatnonzero(movies.label == label)
    last = movies.frame_mask[rows].sum(axis=1) - 1
    best = out.probabilities[rows, last].argmax(axis=1)
    print(f"  {label:12} recall {np.mean(best == model.classes.index(label)):.2f} of {len(rows)}")""",
    """One frame at a time gives the same probabilities as the whole movie: this is how an alert stream is read. The state can
be kept as bytes between two nights.""",
    """movie = movies.take(np.flatnonzero(movies.label == "supernova")[:1])
state = model.initial_state(1)
history = []
for k in range(int(movie.frame_mask.sum())):
    probabilities, state = model.step(state, movie.pixels[:, k].astype(np.float32), movie.reported.window(np.array([k]), 1))
    state = model.state_from_bytes(model.state_to_bytes(state))
    history.append(probabilities[0])
whole = model.predict(movie).probabilities[0, : len(history)]
print("largest difference from the whole movie:", np.abs(np.array(history) - whole).max())
plt.figure(figsize=(6, 3), layout="constrained")
plt.plot(np.arange(1, len(history) + 1), history, "o-", label=model.classes)
plt.axvline(int(movie.first_detection[0]) + 1, color="0.6", ls=":")
plt.xlabel("image (dotted: first alert)")
plt.ylabel("probability")
plt.legend()
plt.show()""",
]


def write(name: str, cells: list[str]) -> None:
    """Text and code cells alternate, starting with text; the executed notebook lands beside this file."""
    make = (nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell)
    notebook = nbformat.v4.new_notebook(cells=[make[k % 2](text) for k, text in enumerate(cells)])
    for k, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{k}"
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [item for item in cell.outputs if item.output_type != "stream" or item.name == "stdout"]
    nbformat.write(notebook, HERE / name)


if __name__ == "__main__":
    write("simulate_and_look.ipynb", LOOK)
    write("train_and_classify.ipynb", TRAIN)

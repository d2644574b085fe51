"""`skyreel import TABLE --cutouts FOLDER --output movies/`: your own cutouts as movies, with all that was estimated named."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from skyreel.errors import ConfigError

EPILOG = """Values come from the table, then from FITS headers, then from --set, then from --survey, then from the pixels.
docs/your_own_data.md lists names, keywords, units and estimates."""


def main(argv: Sequence[str]) -> int:
    """Imports; returns 0.

    Raises
    ------
    ConfigError
        For options that cannot be read.
    DataError
        For input that does not match or lacks what cannot be estimated.
    OutputError
        If the output cannot be written.
    """
    args = _parser().parse_args(argv)
    from skyreel.exchange.importing import Importer, ImportOptions
    from skyreel.verbs.terminal import console, progress

    options = ImportOptions(
        names=_pairs("--map", args.map),
        constants=_pairs("--set", args.set),
        camera=_camera(args.survey) if args.survey else None,
        bands=tuple(args.bands.split(",")) if args.bands else (),
        reference_mag=args.reference_mag,
        stamp_size=args.stamp_size,
        add_sky=args.add_sky,
        zero_point_per_image=args.zero_point_per_image,
    )
    importer = Importer(args.table, args.cutouts, options)
    objects = len(set(importer.values["object_id"].tolist()))
    with progress("importing", objects) as tick:
        done = importer.run(args.output, _by_objects(tick, objects, 2 * len(importer)))
    for line in as_text(done.summary):
        console.print(line, markup=False, highlight=False)
    console.print(f"{done.movies} movies of {done.frames} frames in {args.output}", markup=False, highlight=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="skyreel import", description="Turn cutouts and a table into movies.", epilog=EPILOG)
    parser.add_argument("table", type=Path, help="CSV, ECSV or Parquet with a row per cutout; or .npz, .h5 or Parquet with the images")
    parser.add_argument("--output", type=Path, required=True, help="folder of movies to write")
    parser.add_argument("--cutouts", type=Path, help="folder of the FITS files (default: the table's)")
    parser.add_argument("--map", action="append", default=[], metavar="COLUMN=NAME", help="a column or FITS keyword under another name")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a value for cutouts that state none")
    parser.add_argument("--survey", help="take bands, gain, read noise, saturation and pixel scale of this survey")
    parser.add_argument("--bands", help="bands in their order, separated by commas (default: the survey's, else those found)")
    parser.add_argument("--reference-mag", metavar="COLUMN", help="known magnitudes of constant stars, for zero points")
    parser.add_argument("--stamp-size", type=int, metavar="PX", help="crop and pad cutouts to this side")
    parser.add_argument("--add-sky", action="store_true", help="the sky was subtracted: add it again")
    parser.add_argument("--zero-point-per-image", action="store_true", help="zero points give 1 ADU in the whole exposure, not 1 ADU / s")
    return parser


def _pairs(option: str, words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ConfigError(option, repr(word), f"write {option} {'COLUMN=NAME' if option == '--map' else 'NAME=VALUE'}")
        pairs[name] = value
    return pairs


def _camera(survey: str) -> Any:
    from skyreel.hydra_glue import compose
    from skyreel.plugin import plugins

    return plugins().registry.create("survey", compose("simulate", [f"survey={survey}"]).survey).camera


def _by_objects(tick: Callable[[int], None], objects: int, steps: int) -> Callable[[int], None]:
    """Advances a bar over `objects` objects while `steps` cutouts are read."""
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        before, done = done, done + n
        tick(done * objects // steps - before * objects // steps)

    return advance


def as_text(summary: dict[str, Any]) -> list[str]:
    """What was not stated and how it was found, what was masked and what was left out: one line each."""
    lines = []
    total = summary["cutouts"]
    for entry in summary["quantities"]:
        for origin in ("derived", "estimated", "assumed"):
            if origin in entry["from"]:
                unit = f" {entry['unit']}" if entry["unit"] else ""
                value = f"; median {entry['median']:.6g}{unit}" if "median" in entry else ""
                found = entry.get("how", {}).get(origin)
                how = f": {found}" if found else ""
                lines.append(f"{entry['quantity']:12} {origin} for {entry['from'][origin]} of {total} cutouts{how}{value}")
    lines += [f"masked: {number} frames, {reason}" for reason, number in summary["masked_frames"].items()]
    return [*lines, *summary["notes"]]

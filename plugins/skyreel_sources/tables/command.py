"""The command line that all table scripts share."""

from __future__ import annotations

import argparse


def arguments(description: str | None) -> argparse.Namespace:
    """Options ``--templates`` (folder of the published inputs) and ``--output`` (table to write)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", required=True, help="folder of the published inputs")
    parser.add_argument("--output", required=True, help="table to write")
    return parser.parse_args()

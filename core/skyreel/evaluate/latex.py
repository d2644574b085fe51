"""Tables of text as LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "π": r"$\pi$",
    "σ": r"$\sigma$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "≥": r"$\geq$",
    "×": r"$\times$",
}


def escape(text: str) -> str:
    """Plain text for LaTeX: special characters are escaped, minus signs and plus-minus set as mathematics."""
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


def tabular(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], label: str, words: int = 1) -> str:
    """A table environment that needs no package: columns of words left, others right.

    Parameters
    ----------
    caption, label : str
        `label` is used as ``tab:LABEL``.
    head, rows : sequences of str
        Plain text.
    words : int
        Number of first columns that hold words.
    """
    lines = [" & ".join(escape(cell) for cell in row) + r" \\" for row in (head, *rows)]
    parts = [
        r"\begin{table}",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{'l' * words}{'r' * (len(head) - words)}}}",
        r"\hline",
        lines[0],
        r"\hline",
        *lines[1:],
        r"\hline",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"


def comma_separated(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as CSV (RFC 4180 with newlines)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([head, *rows])
    return buffer.getvalue()

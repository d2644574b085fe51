"""Names of classes, protocols and controls as people write them."""

from __future__ import annotations

_LONG = {
    "rr_lyrae": "RR Lyrae",
    "non_variable": "non-variable",
    "label_blind": "label-blind",
    "length_matched_first": "matched, first",
    "length_matched_last": "matched, last",
}
_SHORT = {
    "supernova": "SN",
    "rr_lyrae": "RRL",
    "cepheid": "Cep",
    "eclipsing_binary": "EB",
    "non_variable": "NV",
    "galaxy": "Gal",
    "asteroid": "Ast",
}


def long_name(name: str) -> str:
    """'eclipsing_binary' as 'eclipsing binary', 'label_blind' as 'label-blind'."""
    return _LONG.get(name, name.replace("_", " "))


def short_name(name: str) -> str:
    """'eclipsing_binary' as 'EB'; other classes by their first four letters."""
    return _SHORT.get(name, name[:4])

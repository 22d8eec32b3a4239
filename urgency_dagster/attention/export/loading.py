"""Loading an exported model. The core libraries are enough.

A pickle can run any code. It is opened only if its bytes match the hash in its card. The hash proves that the file is
complete. It does not prove who wrote the file: load a model of unknown origin from its `.skops` file, which runs no
Python code.
"""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urgency_dagster.attention.export.card import ACCEPTED, HASHES, check_hash, check_versions, read_card
from urgency_dagster.attention.export.skops_files import from_skops
from urgency_dagster.errors import AttentionError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def load_export(file: Path) -> "tuple[Pipeline, Mapping[str, Any], str]":
    """The fitted Pipeline of an exported file, its card, and the file's SHA-256.

    A model with accepted findings of the audit gives a warning.

    Args:
        file: the `.pkl` or `.skops` file; its card `<model>.json` lies beside it.

    Raises:
        AttentionError: the file or its card is missing or unreadable; the bytes do not match the card; a library
            version differs; a `.skops` file names an untrusted type. The model is not opened then.
    """
    if file.suffix not in HASHES:
        raise AttentionError(f"{file.name} is not a model", f"a file that ends in {' or '.join(HASHES)}", "name one")
    card = read_card(file.with_suffix(".json"))
    if not file.is_file():
        raise AttentionError(f"there is no model {file.name}", "an exported model", "export it")
    content = file.read_bytes()
    check_hash(file, content, card)
    check_versions(file, card)
    if accepted := card.get(ACCEPTED):
        kinds = ", ".join(sorted({str(finding["kind"]) for finding in accepted}))
        warnings.warn(f"{file.name} was exported with accepted findings of the audit: {kinds}", stacklevel=3)
    pipeline: Pipeline = from_skops(content) if file.suffix == ".skops" else pickle.loads(content)  # noqa: S301 - the bytes match the hash in the card
    return pipeline, card, card[HASHES[file.suffix]]

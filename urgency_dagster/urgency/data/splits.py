"""The split into a training, a development and a validation side.

The validation side is AI Hub's, a draw of calls, or a draw of utterances. The development side is a draw of calls from
the rows that are left.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from urgency_dagster.errors import TrainingDataError
from urgency_dagster.tables import URGENCY_LEVELS
from urgency_dagster.urgency.configuration import SplitConfig, SplitMode
from urgency_dagster.urgency.data.tables import DEVELOPMENT, TRAIN, VALIDATION

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

OFFICIAL: Final = "official"
CALL: Final = "call"
UTTERANCE: Final = "utterance"
ORIGINAL: Final = "original"

SIDE_OF_PREFIX = {"T": TRAIN, "V": VALIDATION}
"""AI Hub's first letter of an archive pair: Training or Validation."""


@dataclass(frozen=True)
class Split:
    """The side of every row.

    Attributes:
        mode: the mode in effect, which may differ from the configured one.
        note: why it differs; empty if it does not.
        sides: the side of each row, str, (N,), in the order of the given rows.
        sha256: SHA-256 over every row and its side; the order of the rows does not matter.
    """

    mode: SplitMode
    note: str
    sides: "NDArray[np.str_]"
    sha256: str


def split_rows(rows: "pa.Table", config: SplitConfig) -> Split:
    """The side of every row. It does not depend on the order of the rows, except with `protocol: original`.

    Args:
        rows: columns `archive, row, _id, audio_sha256, urgency_id`; (archive, row) identifies a row.
        config: the mode, the selection, the shares and the seed.

    Raises:
        TrainingDataError: the mode is `official` and an archive's name starts neither with T_ nor with V_, or the
            original's draw is not possible.
    """
    if config.protocol == ORIGINAL:
        sides = np.where(_as_the_original(rows, config), VALIDATION, TRAIN)
        return Split(UTTERANCE, "because the protocol is the original's", sides, _hash(rows, sides))
    mode, note = _mode_used(pc.unique(rows["archive"]).to_pylist(), config.mode)
    if mode == OFFICIAL:
        validation = _by_archive(rows)
    elif mode == CALL:
        validation = _by_call(rows, config.validation_share, config.seed)
    else:
        validation = _by_utterance(rows, config)
    sides = np.where(validation, VALIDATION, TRAIN)
    if config.selection == DEVELOPMENT:
        sides = _with_development(rows, sides, config, mode)
    return Split(mode, note, sides, _hash(rows, sides))


def _with_development(
    rows: "pa.Table", sides: "NDArray[np.str_]", config: SplitConfig, mode: SplitMode
) -> "NDArray[np.str_]":
    """The sides after drawing whole calls for development from the rows of the training side."""
    training = np.flatnonzero(sides == TRAIN)
    if not len(training):
        return sides
    # The share is one of all calls, and the calls for validation are gone.
    share = config.development_share / (1.0 if mode == OFFICIAL else 1.0 - config.validation_share)
    # The prefix makes this draw independent of the draw for validation.
    drawn = _by_call(rows.take(training), share, config.seed, purpose=DEVELOPMENT)
    return np.where(np.isin(np.arange(len(sides)), training[drawn]), DEVELOPMENT, sides)


def _side_of(archive: str) -> str:
    """The side of an archive in AI Hub's data set, from the letter before the first underscore."""
    prefix, _, _ = archive.partition("_")
    if prefix not in SIDE_OF_PREFIX:
        raise TrainingDataError(
            f"the archive {archive!r} belongs neither to Training nor to Validation",
            "a name that starts with T_ or V_",
            "use the split mode `call`",
        )
    return SIDE_OF_PREFIX[prefix]


def _mode_used(archives: Sequence[str], configured: SplitMode) -> tuple[SplitMode, str]:
    if configured != OFFICIAL:
        return configured, ""
    sides = {_side_of(archive) for archive in archives}
    if len(sides) != 1:
        return OFFICIAL, ""
    (only,) = sides
    return CALL, f"all archives are AI Hub's {only} archives, so calls were drawn for validation instead"


def _by_archive(rows: "pa.Table") -> "NDArray[np.bool_]":
    archives = pc.unique(rows["archive"]).to_pylist()
    validating = {archive for archive in archives if _side_of(archive) == VALIDATION}
    return np.fromiter((archive in validating for archive in rows["archive"].to_pylist()), bool, rows.num_rows)


def _by_call(rows: "pa.Table", share: float, seed: int, purpose: str = "") -> "NDArray[np.bool_]":
    """Draws whole calls. Copies of one recording under several ids count as one call."""
    recordings = rows["audio_sha256"].combine_chunks().dictionary_encode()
    codes = recordings.indices.to_numpy()
    first_ids = rows.group_by("audio_sha256").aggregate([("_id", "min")])
    calls = first_ids["_id_min"].take(pc.index_in(recordings.dictionary, first_ids["audio_sha256"].combine_chunks()))
    strata = np.full(len(calls), -1)
    np.maximum.at(strata, codes, rows["urgency_id"].to_numpy())
    drawn: NDArray[np.bool_] = _draw([f"{purpose}{call}" for call in calls.to_pylist()], strata, share, seed)[codes]
    return drawn


def _by_utterance(rows: "pa.Table", config: SplitConfig) -> "NDArray[np.bool_]":
    return _draw(list(_row_keys(rows)), rows["urgency_id"].to_numpy(), config.validation_share, config.seed)


def _as_the_original(rows: "pa.Table", config: SplitConfig) -> "NDArray[np.bool_]":
    """Draws single utterances.

    Source: the original's training script: `train_test_split`, stratified by urgency. The class names stand in for its
    ids: both are in code-point order.
    """
    from sklearn.model_selection import train_test_split

    names, drawn = np.array(URGENCY_LEVELS)[rows["urgency_id"].to_numpy()], np.zeros(rows.num_rows, bool)
    try:
        _, chosen = train_test_split(
            np.arange(rows.num_rows), test_size=config.validation_share, random_state=config.seed, stratify=names
        )
    except ValueError as error:
        raise TrainingDataError(
            f"{rows.num_rows} utterances cannot be drawn as the original draws them",
            "several utterances of each urgency",
            "add calls, or use `protocol: honest`",
        ) from error
    drawn[chosen] = True
    return drawn


def _row_keys(rows: "pa.Table") -> Iterable[str]:
    pairs = zip(rows["archive"].to_pylist(), rows["row"].to_pylist(), strict=True)
    return (f"{archive}\t{row}" for archive, row in pairs)


def _draw(keys: Sequence[str], strata: "NDArray[np.int64]", share: float, seed: int) -> "NDArray[np.bool_]":
    """True for the keys drawn, the same share of every stratum, bool, (N,).

    Keys are ranked by a hash of seed and key. So the draw depends on no library and on no order of the keys, and a
    call keeps its rank when archives are added.
    """
    digests = (hashlib.sha256(f"{seed}\t{key}".encode()).digest()[:8] for key in keys)
    ranks = np.fromiter((int.from_bytes(digest) for digest in digests), np.uint64, len(keys))
    order = np.lexsort((np.asarray(keys), ranks))
    drawn = np.zeros(len(keys), bool)
    for stratum in np.unique(strata):
        members = order[strata[order] == stratum]
        drawn[members[: _draw_count(len(members), share)]] = True
    return drawn


def _draw_count(members: int, share: float) -> int:
    """How many keys of a stratum are drawn: at least one for each side if there are two keys or more."""
    return min(max(round(members * share), 1), members - 1)


def _hash(rows: "pa.Table", sides: "NDArray[np.str_]") -> str:
    lines = zip(_row_keys(rows), rows["_id"].to_pylist(), sides.tolist(), strict=True)
    digest = hashlib.sha256()
    for key, call, side in sorted(lines):
        digest.update(f"{key}\t{call}\t{side}\n".encode())
    return digest.hexdigest()

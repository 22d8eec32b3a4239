"""The columns of every table, with unit and meaning, and the columns of other assets that they come from.

The texts are here and not in the Parquet schemas: there they would change the bytes of every file.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from urgency_dagster.attention import (
    ATTENTION_PREDICTIONS,
    ATTENTION_SAMPLES,
    BASELINE,
    COMPARED,
    MODEL_NAMES,
)
from urgency_dagster.calls import MEMBERS, ProsodyConfig, prosody_schema
from urgency_dagster.scoring import CALL_SOURCES, RECORDINGS, SCORED_CALLS, SCORED_UTTERANCES
from urgency_dagster.tables import (
    EMBEDDING,
    ORIGINAL_COLUMNS,
    UTTERANCE_KEY,
    UTTERANCES,
    VECTOR_KEY,
    embeddings_schema,
    original_schema,
)
from urgency_dagster.urgency import TRAINING_ROWS, URGENCY_PREDICTIONS

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA, LINEAGE = "dagster/column_schema", "dagster/column_lineage"
"""The names under which the UI looks for columns and for their sources."""

OF_CALLS = {
    "_id": "Id of the call: the start of its file names, up to the first underscore.",
    "archive": "Name of the archive pair, e.g. T_광주_구급.",
    "wav_file_path": "The recording of the call, relative to the storage root.",
    "utterance_id": "Id of the utterance, unique within its call.",
    "text": "What was said, as transcribed in the label.",
    "startAt": "Start of the utterance in the recording, in milliseconds.",
    "endAt": "End of the utterance in the recording, in milliseconds, as in the label.",
    "sentiment": "Sentiment of the call: 기타부정, 당황/난처, 불안/걱정 or 중립.",
    "urgencyLevel": "Urgency of the call: 하 (low), 중 (mid) or 상 (high).",
    "urgency_label": "Id of the urgency: 하 0, 중 1, 상 2.",
    "disasterLarge": "Category of the emergency.",
    "disasterMedium": "Subcategory of the emergency.",
    "speaker": "Role of the speaker: 0 call taker, 1 caller.",
    "gender": "Gender of the caller, as in the label.",
    "duration_s": "Length of the audio of the utterance, in seconds. An end after the recording's end is clipped.",
    "silent": "Whether the audio of the utterance is silent.",
    "has_nan": "Whether a sample of the audio is damaged.",
    "clipped": "Whether the audio reaches full scale and is cut off there.",
    "tone_660hz": "Whether the audio has a steady tone of 660 Hz, which covers private words.",
    "audio_sha256": "SHA-256 of the decoded recording of the call.",
    EMBEDDING: "Means of the last hidden state of the speech model over the frames of the utterance, without unit.",
    "kind": "Kind of the member: audio or label.",
    "member": "Name of the member in its ZIP.",
    "path": "The unpacked file, relative to the storage root. Null for a rejected member.",
    "size_bytes": "Size of the unpacked member, in bytes.",
    "crc32": "CRC-32 of the unpacked member, as stated in the ZIP.",
    "reason": "Why the member was rejected. Null for an unpacked member.",
    "detail": "More about the reason.",
    "row": "Row of the utterance in wav2vec2_embeddings.npy of its archive, from 0.",
    "urgency_id": "True class id of the urgency: 하 0, 중 1, 상 2.",
    "sentiment_id": "True class id of the sentiment: position in the sorted names.",
    "side": "Side of the split: train, development or validation.",
    "urgency_predicted": "Predicted class id of the urgency.",
    "urgency_logits": "Logits of the urgency classes, without unit.",
    "sentiment_predicted": "Predicted class id of the sentiment.",
    "sentiment_logits": "Logits of the sentiment classes, without unit.",
}
"""The columns of the calls and urgency assets."""

OF_ATTENTION = {
    "row": "Row of the sample in the pickle, from 0.",
    "fold": "Fold in which the sample was a test row, from 1.",
    "participant": "Code of the participant.",
    "y": "True class of the sample: 0 or 1 (attentive).",
    "t_s": "Time of the sample, in seconds since the earliest local midnight. Null if unknown.",
    "predicted": "Predicted class of the sample.",
    "probability": "Predicted probability of class 1.",
    "model": "Name of the model.",
}
"""The columns of the attention assets."""


def _leaderboard_schema() -> "pa.Schema":
    import pyarrow as pa

    statistics = [f"{score}_{statistic}" for score in COMPARED for statistic in ("mean", "sd", f"vs_{BASELINE}")]
    fields = [pa.field("model", pa.string()), *(pa.field(name, pa.float64()) for name in statistics)]
    return pa.schema(fields)


def _of_leaderboard() -> dict[str, str]:
    statistics = {
        "mean": "{}, mean over folds.",
        "sd": "{}, sample standard deviation over folds.",
        f"vs_{BASELINE}": f"{{}}, mean over folds minus that of the baseline `{BASELINE}`.",
    }
    return {
        f"{score}_{statistic}": text.format(name[0].upper() + name[1:])
        for score, name in COMPARED.items()
        for statistic, text in statistics.items()
    }


DESCRIPTIONS: dict[str, Mapping[str, str]] = {
    "attention_features": OF_ATTENTION,
    "attention_cv": OF_ATTENTION,
    "attention_leaderboard": OF_ATTENTION | _of_leaderboard(),
}
"""What the columns of an asset mean; those of all other assets are in OF_CALLS."""

SCHEMAS: dict[str, "pa.Schema"] = {
    "call_recordings": MEMBERS,
    "utterances": UTTERANCES,
    "utterance_embeddings": embeddings_schema(-1),
    "processed_data": UTTERANCES,
    "prosody": prosody_schema(ProsodyConfig()),
    "full_table": original_schema(-1),
    "training_set": TRAINING_ROWS,
    "urgency_evaluation": URGENCY_PREDICTIONS,
    "attention_features": ATTENTION_SAMPLES,
    "attention_cv": ATTENTION_PREDICTIONS,
    "attention_leaderboard": _leaderboard_schema(),
    "scoring_recordings": RECORDINGS,
    "scored_utterances": SCORED_UTTERANCES,
    "scored_calls": SCORED_CALLS,
}
"""The table on the page of each asset. The width of the vectors is known after their making only."""

MAX_SOURCES = 3
"""Maximum sources that the description of a column names one by one."""

Sources = Mapping[str, Iterable[tuple[str, str]]]
"""The upstream columns of each column: pairs of asset and column. A key with several parts is written with slashes."""


def _copied(upstream: str, columns: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    return {column: [(upstream, column)] for column in columns}


def _scores() -> Sources:
    """The leaderboard's columns: each score needs labels and predictions of every cross-validated model."""
    needed = {"roc_auc": ("y", "probability")}
    return {
        f"{score}_{statistic}": [
            (f"attention_cv/{model}", column)
            for model in (*MODEL_NAMES, BASELINE)
            for column in needed.get(score, ("y", "predicted"))
        ]
        for score in COMPARED
        for statistic in ("mean", "sd", f"vs_{BASELINE}")
    }


SOURCES: dict[str, Sources] = {
    "utterances": {"archive": [("call_recordings", "archive")], "wav_file_path": [("call_recordings", "path")]},
    "utterance_embeddings": _copied("utterances", [*UTTERANCE_KEY, *VECTOR_KEY]),
    "processed_data": _copied("utterances", UTTERANCES.names),
    "prosody": _copied("utterances", [*UTTERANCE_KEY, *VECTOR_KEY, "duration_s"])
    | {"speaking_rate_chars_per_s": [("utterances", "text"), ("utterances", "duration_s")]},
    "full_table": _copied("processed_data", [name for name in ORIGINAL_COLUMNS if name != EMBEDDING]),
    "training_set": _copied("processed_data", [name for name in TRAINING_ROWS.names if name in UTTERANCES.names])
    | {"urgency_id": [("processed_data", "urgencyLevel")], "sentiment_id": [("processed_data", "sentiment")]},
    "urgency_evaluation": _copied(
        "training_set", [name for name in URGENCY_PREDICTIONS.names if name in TRAINING_ROWS.names]
    )
    | {name: [("training_set", "text")] for name in URGENCY_PREDICTIONS.names if name not in TRAINING_ROWS.names},
    "attention_cv": _copied("attention_features", ("row", "participant", "y")),
    "attention_leaderboard": _scores(),
    "scored_utterances": _copied("scoring_recordings", ["archive", "file", "_id", "file_sha256", "label_sha256"]),
    "scored_calls": {column: [("scored_utterances", source)] for column, source in CALL_SOURCES.items()},
}
"""The sources of columns by asset. Audio and wearable features have no column of a table, so they are not named."""


def declared_columns(asset: str) -> dict[str, dg.TableSchemaMetadataValue]:
    """The columns of an asset as metadata of its definition, which the UI shows before the asset is made."""
    return {SCHEMA: _table_schema(asset, SCHEMAS[asset])}


def column_metadata(asset: str, schema: "pa.Schema | None" = None) -> dict[str, dg.MetadataValue]:
    """The columns of an asset with their sources, as metadata of a materialization.

    Args:
        asset: name of the asset; the assets of several models share one.
        schema: the table that was made, if it can differ from the declared one.
    """
    metadata: dict[str, dg.MetadataValue] = {SCHEMA: _table_schema(asset, schema or SCHEMAS[asset])}
    if sources := SOURCES.get(asset):
        lineage = {column: [_dependency(*source) for source in found] for column, found in sources.items()}
        metadata[LINEAGE] = dg.MetadataValue.column_lineage(dg.TableColumnLineage(lineage))
    return metadata


def _table_schema(asset: str, schema: "pa.Schema") -> dg.TableSchemaMetadataValue:
    columns = [
        dg.TableColumn(
            item.name,
            str(item.type).replace("[-1]", ""),
            description=_description(asset, item),
            constraints=dg.TableColumnConstraints(nullable=item.nullable),
        )
        for item in schema
    ]
    return dg.MetadataValue.table_schema(dg.TableSchema(columns))


def _description(asset: str, item: "pa.Field") -> str:
    """What a column means and where it comes from: the UI draws the lineage of columns in Dagster+ only."""
    sources = list(SOURCES.get(asset, {}).get(item.name, ()))
    names = [f"{upstream}.{column}" for upstream, column in sources]
    if len(sources) > MAX_SOURCES:
        names = sorted({f"every {upstream.partition('/')[0]}/<model>" for upstream, _ in sources})
    return " ".join([_meaning(asset, item), *([f"From {' and '.join(names)}."] if names else [])])


def _meaning(asset: str, item: "pa.Field") -> str:
    """What a column means. The columns of prosody and of scoring say it themselves, with their unit."""
    own = {name.decode(): text.decode() for name, text in (item.metadata or {}).items()}
    if own:
        return own["description"] if own["unit"] == "none" else f"{own['description']} Unit: {own['unit']}."
    return DESCRIPTIONS.get(asset, OF_CALLS)[item.name]


def _dependency(asset: str, column: str) -> dg.TableColumnDep:
    return dg.TableColumnDep(dg.AssetKey(asset.split("/")), column)

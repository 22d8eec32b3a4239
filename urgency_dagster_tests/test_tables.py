import pyarrow as pa
import pytest

from urgency_dagster import tables
from urgency_dagster.attention import tables as attention_tables
from urgency_dagster.calls import tables as calls_tables
from urgency_dagster.urgency.data import tables as urgency_tables


def test_urgency_ids_are_fixed() -> None:
    assert {name: i for i, name in enumerate(tables.URGENCY_LEVELS)} == {"하": 0, "중": 1, "상": 2}


def test_sentiments_are_sorted() -> None:
    assert list(tables.SENTIMENTS) == sorted(tables.SENTIMENTS)
    assert len(tables.SENTIMENTS) == 4


def test_every_class_has_an_english_name_of_its_own() -> None:
    assert set(tables.ENGLISH) == {*tables.URGENCY_LEVELS, *tables.SENTIMENTS}
    assert len(set(tables.ENGLISH.values())) == len(tables.ENGLISH)
    assert all(name.isascii() for name in tables.ENGLISH.values())


def test_the_columns_that_users_meet() -> None:
    promised = "_id wav_file_path utterance_id text startAt endAt sentiment urgencyLevel urgency_label disasterMedium"
    promised += " archive speaker gender disasterLarge duration_s"
    assert set(promised.split()) <= set(tables.UTTERANCES.names)
    assert tables.UTTERANCES.field("startAt").type == tables.UTTERANCES.field("endAt").type == pa.int64()
    assert calls_tables.REJECTS.names == ["archive", "member", "_id", "utterance_id", "reason", "detail"]
    key = ["audio_sha256", "startAt", "endAt"]
    assert tables.embeddings_schema(4).names == ["_id", "utterance_id", *key, "wav2vec2_embedding"]


def test_no_table_has_room_for_an_address() -> None:
    modules = (tables, calls_tables, urgency_tables, attention_tables)
    schemas = [value for module in modules for value in vars(module).values() if isinstance(value, pa.Schema)]
    assert len(schemas) > 5
    assert not any("address" in name.lower() for schema in schemas for name in schema.names)


@pytest.mark.parametrize("width", [1, 1024])
def test_vectors_are_float32_of_the_width_of_the_model(width: int) -> None:
    vector = tables.embeddings_schema(width).field(tables.EMBEDDING).type
    assert (vector.list_size, vector.value_type) == (width, pa.float32())


def test_reasons_are_snake_case_and_distinct() -> None:
    values = [str(reason) for reason in calls_tables.RejectReason]
    assert len(set(values)) == len(values)
    assert all(value == value.lower() and value.replace("_", "").isalpha() for value in values)

from transformers import AutoTokenizer

from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.data.unknown_tokens import any_unknown
from urgency_dagster_tests.urgency.conftest import FILLERS


def test_each_text_is_looked_through_alone(text_model: PretrainedModel) -> None:
    tokenizer = AutoTokenizer.from_pretrained(text_model.folder, local_files_only=True)
    known = FILLERS[0]
    texts = [known, f"{known} \N{OGHAM LETTER BEITH}", "", known]
    assert any_unknown(texts, tokenizer, 64).tolist() == [False, True, False, False]
    assert any_unknown([], tokenizer, 64).tolist() == []


def test_a_tokenizer_without_an_unknown_token_knows_all(text_model: PretrainedModel) -> None:
    tokenizer = AutoTokenizer.from_pretrained(text_model.folder, local_files_only=True)

    class Knowing:
        unk_token_id, pad_token_id = None, 0

        def __call__(self, *given: object, **options: object) -> object:
            return tokenizer(*given, **options)

    assert any_unknown(["\N{OGHAM LETTER BEITH}"], Knowing(), 64).tolist() == [False]

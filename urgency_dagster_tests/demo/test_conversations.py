from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urgency_dagster.demo.archives import draw_pairs
from urgency_dagster.demo.conversations import SENTIMENT_SHARES, URGENCY_SHARES, deal, draw_conversation
from urgency_dagster.tables import CALL_TAKER, CALLER, SENTIMENTS, URGENCY_LEVELS


def test_shares_are_those_of_the_data_sets_labels() -> None:
    assert set(URGENCY_SHARES) == set(URGENCY_LEVELS)
    assert set(SENTIMENT_SHARES) == set(SENTIMENTS)
    assert sum(URGENCY_SHARES.values()) == pytest.approx(1.0)
    assert sum(SENTIMENT_SHARES.values()) == pytest.approx(1.0)


@settings(deadline=None)
@given(n=st.integers(0, 300), shares=st.sampled_from([URGENCY_SHARES, SENTIMENT_SHARES]))
def test_dealt_counts_are_within_one_of_their_shares(n: Any, shares: Any) -> None:
    counts = Counter(deal(np.random.default_rng(0), shares, n))
    assert counts.total() == n
    assert all(abs(counts[label] - share * n) < 1 for label, share in shares.items())


@settings(deadline=None)
@given(n=st.integers(4, 300))
def test_every_label_is_dealt_as_often_as_asked(n: Any) -> None:
    labels = deal(np.random.default_rng(0), SENTIMENT_SHARES, n, at_least=1)
    assert len(labels) == n
    assert set(labels) == set(SENTIMENT_SHARES)


def test_dealt_labels_are_in_random_order() -> None:
    labels = deal(np.random.default_rng(0), URGENCY_SHARES, 60)
    assert labels != sorted(labels)
    assert labels != deal(np.random.default_rng(1), URGENCY_SHARES, 60)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    category=st.sampled_from(["구급", "화재"]),
    urgency=st.sampled_from(URGENCY_LEVELS),
    sentiment=st.sampled_from(SENTIMENTS),
)
def test_a_conversation_is_a_call(seed: None, category: Any, urgency: Any, sentiment: Any) -> None:
    call = draw_conversation(np.random.default_rng(seed), category, urgency, sentiment)
    assert (call.category, call.urgency, call.sentiment) == (category, urgency, sentiment)
    assert 8 <= len(call.turns) <= 14
    assert call.turns[0].speaker == CALL_TAKER
    assert {turn.speaker for turn in call.turns} == {CALL_TAKER, CALLER}
    assert call.gender in ("F", "M")
    for turn in call.turns:
        assert turn.text.strip()
        assert "{" not in turn.text
        assert turn.text == turn.text.lstrip()
    assert bool(call.symptoms) == (category == "구급")


def test_urgent_calls_are_longer_on_average() -> None:
    def mean_turns(urgency: Any) -> Any:
        rng = np.random.default_rng(0)
        return np.mean([len(draw_conversation(rng, "구급", urgency, "중립").turns) for _ in range(300)])

    assert mean_turns("상") > mean_turns("하") + 0.5


def test_urgency_can_be_learnt_from_the_words_but_not_perfectly() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    rows = [
        (pair.pair.split, turn.text, call.conversation.urgency)
        for pair in draw_pairs(120, 7)
        for call in pair.calls
        for turn in call.conversation.turns
    ]
    train, validation = ([row for row in rows if row[0] == split] for split in "TV")
    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True)
    model = LogisticRegression(C=10, max_iter=500).fit(
        words.fit_transform([row[1] for row in train]), [r[2] for r in train]
    )
    y = [row[2] for row in validation]
    score = f1_score(y, model.predict(words.transform([row[1] for row in validation])), average="macro")
    majority = f1_score(y, [max(set(y), key=y.count)] * len(y), average="macro")
    assert majority < 0.2
    assert 0.5 < score < 0.75

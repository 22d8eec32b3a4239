"""The sections about the data: which calls trained, chose and judged, and what the scores do not cover."""

from collections.abc import Mapping
from typing import Any

from urgency_dagster.urgency.data.tables import DEVELOPMENT, TRAIN, VALIDATION
from urgency_dagster.urgency.package.cards import selection_of


def data_section(card: Mapping[str, Any]) -> str:
    """Which calls trained, chose and judged."""
    split, calls, utterances = card["split"], card["calls"], card["utterances"]
    return f"""\
## Data

Scores are those of the validation side: {utterances[VALIDATION]} utterances of {calls[VALIDATION]} calls. The training
side has {utterances[TRAIN]} utterances of {calls[TRAIN]} calls. {_selection_text(card)} Archives:
{", ".join(card["archives"])}.

{_remarks(card)}{_split_text(split)} Split sha256 `{split["sha256"]}`, data sha256 `{card["data_sha256"]}`."""


def _selection_text(card: Mapping[str, Any]) -> str:
    """Which calls chose what."""
    if selection_of(card) == VALIDATION:
        return "The validation side chose the best epoch too."
    return (
        f"The development side has {card['utterances'][DEVELOPMENT]} utterances of {card['calls'][DEVELOPMENT]} calls. "
        "It chose the best epoch, the temperatures and the thresholds. The validation side chose nothing."
    )


def _remarks(card: Mapping[str, Any]) -> str:
    """What a reader must know first; nothing for a card of a version that did not say it."""
    remarks = [card.get("left_out", "")]
    if card.get("protocol") == "original":
        remarks.append(
            "Trained with `protocol: original`: the validation side chose the epoch, and all rows weight the classes."
        )
    return "".join(f"**{remark}** " for remark in remarks if remark)


def _split_text(split: Mapping[str, str]) -> str:
    if split["mode_used"] == "utterance":
        return "**Split by utterance: the same calls train and judge, so these scores are inflated.**"
    if split["mode_used"] == split["mode_asked"]:
        return f"Split: `{split['mode_used']}`; no call is on two sides."
    return (
        f"Split: `{split['mode_used']}` instead of `{split['mode_asked']}`, because only one side of AI Hub's border "
        "is present; no call is on two sides."
    )


def limit_section(card: Mapping[str, Any]) -> str:
    """What the scores do not cover."""
    return f"""\
## Limits of these scores

- {_epoch_limit(card)}
- Labels belong to calls. A score by utterance compares one sentence with the label of the whole call.
- The intervals cover the choice of calls. They do not cover the seed, other regions or other categories.
- A score without an interval has too few calls. An interval without width means that the score was the same in every
  bootstrap sample, not that it is certain."""


def _epoch_limit(card: Mapping[str, Any]) -> str:
    best = f"The best epoch ({card['epoch']} of {card['config']['epochs']}) was chosen on"
    if selection_of(card) == VALIDATION:
        return f"{best} the same rows, so the scores are slightly too high."
    return f"{best} other calls. Whoever compares several trainings by this report chooses on the validation side."

"""The landing folders at a tick of the sensor, and the check of files that cannot be used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import dagster as dg
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
from pydantic import BaseModel, ValidationError

from urgency_dagster.provenance.keys import ATTENTION_SOURCE, CALL_ARCHIVE, SCORING_ARCHIVE
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.writing import text_hash

EVERY_FILE_IS_USED = dg.AssetCheckKey(CALL_ARCHIVE, "every_file_is_used")
"""The check that warns about files in `landing/calls` that cannot be used."""

EVERY_RECORDING_IS_USED = dg.AssetCheckKey(SCORING_ARCHIVE, "every_file_is_used")
"""The check that warns about files in `landing/scoring` that cannot be used."""

LANDING_CHECKS = (EVERY_FILE_IS_USED, EVERY_RECORDING_IS_USED)

PROBLEMS = "not_used"
"""Metadata: the table of unusable files."""

PROBLEM_SCHEMA = dg.TableSchema(
    [
        dg.TableColumn("file", "string", "Name of the file in the landing folder."),
        dg.TableColumn("reason", "string", "Why it cannot be used."),
    ]
)

MAX_PROBLEMS = 5
"""Maximum unusable files that a text names. The table has all."""


ProblemsByCheck = Mapping[dg.AssetCheckKey, Mapping[str, str]]
"""The reason by file name, for each of LANDING_CHECKS."""


def landing_problems(landed: LandedContent) -> ProblemsByCheck:
    """The reason by file name of each check: the files that cannot be used."""
    recordings = {f"{SCORING_PREFIX}{name}": problem for name, problem in landed.scoring.problems.items()}
    return {EVERY_FILE_IS_USED: landed.calls.problems, EVERY_RECORDING_IS_USED: recordings}


def landing_result(check: dg.AssetCheckKey, problems: Mapping[str, str]) -> dg.AssetCheckResult:
    """The result of a check `every_file_is_used`.

    Args:
        check: one of LANDING_CHECKS.
        problems: the reason by file name.
    """
    told = [f"{file}: {reason}." for file, reason in sorted(problems.items())]
    more = [f"And {len(told) - MAX_PROBLEMS} more."] if len(told) > MAX_PROBLEMS else []
    return dg.AssetCheckResult(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(["Not used:", *told[:MAX_PROBLEMS], *more]) if told else None,
        metadata={
            "files_not_used": len(problems),
            PROBLEMS: dg.MetadataValue.table(_records(problems), schema=PROBLEM_SCHEMA),
        },
    )


def landing_evaluation(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, problems: Mapping[str, str]
) -> Iterator[dg.AssetCheckEvaluation]:
    """The result of a check without a run, if it differs from the last one.

    Args:
        instance: the Dagster instance.
        check: one of LANDING_CHECKS.
        problems: the reason by file name.
    """
    if _records(problems) != _reported_records(instance, check):
        result = landing_result(check, problems)
        yield dg.AssetCheckEvaluation(
            asset_key=check.asset_key,
            check_name=check.name,
            passed=result.passed,
            metadata=result.metadata,
            severity=result.severity,
            description=result.description,
            blocking=False,
        )


def _records(problems: Mapping[str, str]) -> list[dg.TableRecord]:
    return [dg.TableRecord({"file": file, "reason": reason}) for file, reason in sorted(problems.items())]


def _reported_records(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> list[dg.TableRecord] | None:
    """The files of the last result, or None before the first one."""
    history = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    )
    event = history[0].event if history else None
    evaluation = event.asset_check_evaluation if event else None
    table = evaluation.metadata.get(PROBLEMS) if evaluation else None
    return list(table.records) if isinstance(table, dg.TableMetadataValue) else None


CHANGED = "its size or time changed since the last tick; it is used when it no longer changes"


STEADY_TICKS = 3
"""Ticks with the same sizes after which an input is used, although its time changes. NFS and SMB need this."""


class Seen(BaseModel):
    """One landed input at a tick.

    Attributes:
        sizes: a hash of the sizes of its files.
        times: a hash of the times of its files.
        ticks: the number of ticks in a row with these sizes.
    """

    sizes: str
    times: str
    ticks: int = 1

    def after(self, former: "Seen | None") -> "Seen":
        """This state, with the ticks of the former one if its sizes are the same."""
        same = former is not None and former.sizes == self.sizes
        return self.model_copy(update={"ticks": former.ticks + 1 if former and same else 1})

    def is_settled(self, former: "Seen | None") -> bool:
        """Whether the input can be used after two looks at it."""
        if former is None or former.sizes != self.sizes:
            return False
        return former.times == self.times or self.ticks >= STEADY_TICKS


class Cursor(BaseModel):
    """What the sensor remembers from one tick to the next.

    Attributes:
        inputs: the landed inputs by name; None before the first tick.
        told: the problems that were told, as hashes.
    """

    inputs: dict[str, Seen] | None = None
    told: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LandingLook:
    """The landed inputs at one tick of the sensor, compared with the tick before. An input is a pair or the pickle.

    Attributes:
        former: what the last tick remembered.
        present: the inputs at this tick.
    """

    former: Cursor
    present: Mapping[str, Seen]

    @classmethod
    def since(cls, cursor: str | None, landed: LandedContent) -> Self:
        """A look at the landing folders.

        Args:
            cursor: what `cursor` returned at the last tick. One of another version counts as none.
            landed: one scan of the landing folders.
        """
        try:
            former = Cursor.model_validate_json(cursor or "{}")
        except ValidationError:
            former = Cursor()
        before = former.inputs or {}
        return cls(former, {name: seen.after(before.get(name)) for name, seen in _seen(landed).items()})

    @property
    def is_first(self) -> bool:
        """Whether no tick came before this one."""
        return self.former.inputs is None

    @cached_property
    def settled(self) -> frozenset[str]:
        """The inputs that are the same as at the last tick."""
        former = self.former.inputs or {}
        return frozenset(name for name, seen in self.present.items() if seen.is_settled(former.get(name)))

    @property
    def unsettled(self) -> frozenset[str]:
        """The inputs that are new, or that changed since the last tick. They wait for the next one."""
        return frozenset(self.present) - self.settled

    def problems(self) -> dict[str, str]:
        """The inputs that changed since the last tick, with the reason. A new input is no problem."""
        return dict.fromkeys(sorted(self.unsettled & (self.former.inputs or {}).keys()), CHANGED)

    def by_check(self, unusable: ProblemsByCheck) -> dict[dg.AssetCheckKey, dict[str, str]]:
        """The unusable files and the changed inputs of each check.

        Args:
            unusable: see `landing_problems`.
        """
        changed = self.problems()
        of_scoring = {name: reason for name, reason in changed.items() if name.startswith(SCORING_PREFIX)}
        of_calls = {name: reason for name, reason in changed.items() if name not in of_scoring}
        return {
            check: {**problems, **(of_scoring if check == EVERY_RECORDING_IS_USED else of_calls)}
            for check, problems in unusable.items()
        }

    def untold(self, problems: Mapping[str, str]) -> dict[str, str]:
        """The problems that are new or whose text changed since the last tick."""
        return {file: text for file, text in problems.items() if _hash(file, text) not in (self.former.told or ())}

    def is_news(self, problems: Mapping[str, str]) -> bool:
        """Whether the problems differ from those of the last tick."""
        return self.former.told != _hashes(problems)

    def cursor(self, problems: Mapping[str, str]) -> str:
        """The text to remember until the next tick."""
        return Cursor(inputs=dict(self.present), told=_hashes(problems)).model_dump_json()


SCORING_PREFIX = "scoring/"
"""The start of the names of files and archives in `landing/scoring`, where problems of all folders are listed."""


def input_name(key: dg.AssetKey, archive: str | None) -> str:
    """The name of a landed archive at a tick: a pair and a folder of recordings can have one name."""
    return f"{SCORING_PREFIX}{archive}" if key == SCORING_ARCHIVE else str(archive)


def _seen(landed: LandedContent) -> dict[str, Seen]:
    """The sizes and times of the landed inputs, by `input_name`, or `attention.pkl`."""
    inputs = [
        (input_name(key, archive), landed.fingerprint(key, archive))
        for key in (CALL_ARCHIVE, SCORING_ARCHIVE)
        for archive in landed.partitions(key)
    ]
    inputs.append((landed.paths.attention_pickle.name, landed.fingerprint(ATTENTION_SOURCE, None)))
    return {name: Seen(sizes=_hash(str(both[0])), times=_hash(str(both[1]))) for name, both in inputs if both}


def _hashes(problems: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(_hash(file, text) for file, text in problems.items()))


def _hash(*texts: str) -> str:
    return text_hash(*texts)[:16]

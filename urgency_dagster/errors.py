"""Every exception of the project. Nothing else lives here, and this module imports nothing of ours.

UrgencyError
├── SettingsError     a setting or a run configuration that cannot be used
├── ArchiveError      a ZIP or a pair of ZIPs that cannot be used
├── LabelError        a label JSON that is not a call
├── AudioError        a recording that cannot be decoded
├── ModelError        a pretrained model that cannot be loaded
├── TrainingDataError rows a model cannot be trained or judged on
├── AttentionError    an attention pickle, table or exported model that is refused
│   └── NoFeatureError    features of which the selector keeps none
├── InputError        texts or vectors that a trained model is asked with and that do not fit it
├── ArtefactError     a stored artefact that is missing or does not fit its neighbours
├── MissingExtraError an optional part of the installation that is not installed
├── BusyError         the storage root is in use by another run
├── BenchmarkError    two ways of doing the same work that do not give the same result
└── Rejected          a member, call or utterance that goes to the reject table
"""


class UrgencyError(Exception):
    """The root of all errors raised on purpose.

    Args:
        received: what was found, without any call text, address or audio.
        expected: what would have been right.
        remedy: what the reader can do about it.
    """

    def __init__(self, received: str, expected: str = "", remedy: str = "") -> None:
        # All three go to Exception.args, so that the error survives pickling between processes.
        super().__init__(received, expected, remedy)

    def __str__(self) -> str:
        """One line: what was received, what was expected, what to do."""
        received, expected, remedy = self.args
        parts = [received, f"expected {expected}" if expected else "", f"to fix it, {remedy}" if remedy else ""]
        return "; ".join(part for part in parts if part)


class SettingsError(UrgencyError):
    """A setting or run configuration is unknown or has an unusable value."""


class ArchiveError(UrgencyError):
    """A ZIP, or a pair of them, cannot be used at all."""


class LabelError(UrgencyError):
    """A label JSON cannot be read as a call."""


class AudioError(UrgencyError):
    """A recording cannot be decoded."""


class ModelError(UrgencyError):
    """A pretrained model is neither cached, nor reachable, nor a usable folder."""


class TrainingDataError(UrgencyError):
    """The rows cannot train or judge a model: none at all, one class only, one side empty."""


class AttentionError(UrgencyError):
    """An attention pickle, table or exported model is refused."""


class NoFeatureError(AttentionError):
    """The selector keeps no feature: none tells enough of the label to be fitted on."""


class InputError(UrgencyError):
    """Texts or vectors do not fit the trained model that is asked."""


class ArtefactError(UrgencyError):
    """A stored artefact is missing, incomplete or does not fit its neighbours."""


class MissingExtraError(UrgencyError):
    """A command needs a library of an extra that is not installed."""


class BusyError(UrgencyError):
    """The storage root is in use by another run."""


class BenchmarkError(UrgencyError):
    """The two sides of a benchmark do not do the same work, so their times cannot be compared."""


class Rejected(UrgencyError):  # noqa: N818 - an outcome of one item, not a failure of the step
    """A member, call or utterance is left out of the utterance table.

    Args:
        reason: one of `tables.RejectReason`.
        detail: more, without call text, address or audio.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.args = (reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        """The reason and the detail."""
        return f"{self.reason}: {self.detail}"

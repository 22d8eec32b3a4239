"""Every exception of the project. This module imports no other module of the project.

UrgencyError
├── SettingsError     a setting or a run configuration that cannot be used
├── ArchiveError      a ZIP or a pair of ZIPs that cannot be used
├── LabelError        a label JSON that is not a call
├── AudioError        a recording that cannot be decoded
│   └── NoSpeechError     a recording without a turn that can be used
├── RecognitionError  a call whose text cannot be recognised
├── ModelError        a pretrained model that cannot be loaded
│   ├── NoRecogniserError a recogniser that cannot be loaded, although text is missing
│   └── DeviceMemoryError a segment of audio for which the device has no memory
├── TrainingDataError rows on which no model can be trained or evaluated
├── AttentionError    an attention pickle, table or exported model that is refused
│   └── NoFeatureError    a selector that keeps no feature
├── InputError        turns, texts or vectors that do not fit a trained model
├── ArtefactError     a stored artefact that is missing or inconsistent with another
├── MissingExtraError an optional part of the installation that is not installed
├── BusyError         the storage root is in use by another run
├── OverloadError     a server with as many requests as it can queue
├── ServiceError      a process of `dev` that does not start
├── BenchmarkError    a benchmark whose two sides give different results
└── Rejected          a member, call or utterance that goes to the reject table
"""


class UrgencyError(Exception):
    """The base class of every error that the project raises.

    Args:
        received: the actual value or state, without call text, address or audio.
        expected: the values or states that are accepted.
        remedy: what the reader can do.
    """

    def __init__(self, received: str, expected: str = "", remedy: str = "") -> None:
        # All three go to Exception.args, so that the error survives pickling between processes.
        super().__init__(received, expected, remedy)

    def __str__(self) -> str:
        """One line with the received value, the expected values and the remedy."""
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


class NoSpeechError(AudioError):
    """A recording has no turn that can be used: no speech was found, or the times of all turns are unusable."""


class RecognitionError(UrgencyError):
    """A recogniser gives no text of a call: its server cannot be reached, is too slow, or answers without a text.

    Other calls can go on.
    """


class ModelError(UrgencyError):
    """A pretrained model is neither cached, nor reachable, nor a usable folder."""


class NoRecogniserError(ModelError):
    """The recogniser cannot be loaded, although a turn has no text. No recording is at fault."""


class DeviceMemoryError(ModelError):
    """The device has no memory for one segment of audio. Shorter ones can be embedded."""


class TrainingDataError(UrgencyError):
    """No model can be trained or evaluated on the rows: there are none, one class only, or one side is empty."""


class AttentionError(UrgencyError):
    """An attention pickle, table or exported model is refused."""


class NoFeatureError(AttentionError):
    """The feature selector keeps no feature: none is informative about the label, or the rows are too few for its C."""


class InputError(UrgencyError):
    """A recording, turns, texts or vectors do not fit the trained model that receives them."""


class ArtefactError(UrgencyError):
    """A stored artefact is missing, incomplete, or inconsistent with another artefact."""


class MissingExtraError(UrgencyError):
    """A command needs a library of an extra that is not installed."""


class BusyError(UrgencyError):
    """The storage root is in use by another run."""


class OverloadError(UrgencyError):
    """The server has as many requests as it can queue. The same request can be sent again later."""


class ServiceError(UrgencyError):
    """A process of the `dev` command fails again and again."""


class BenchmarkError(UrgencyError):
    """The two sides of a benchmark give different results, so their times cannot be compared."""


class Rejected(UrgencyError):  # noqa: N818 - the outcome of one item; the step goes on
    """A member, call or utterance is not in the utterance table.

    Args:
        reason: one of `calls.tables.RejectReason`.
        detail: further facts, without call text, address or audio.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.args = (reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        """The reason and the detail."""
        return f"{self.reason}: {self.detail}"

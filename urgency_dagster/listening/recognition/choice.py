"""The recogniser that a name stands for."""

from urgency_dagster import calls
from urgency_dagster.devices import resolve_device
from urgency_dagster.listening.recognition.ctc import load_ctc_recogniser
from urgency_dagster.listening.recognition.recogniser import LazyRecogniser, Recogniser
from urgency_dagster.listening.recognition.server import ServerRecogniser
from urgency_dagster.listening.recognition.whisper import load_whisper_recogniser
from urgency_dagster.pretrained import find_pretrained, model_identity
from urgency_dagster.settings import recogniser_parts

VARIABLE = "URGENCY_RECOGNISER"


def recogniser_identity(name: str) -> str:
    """The identity of a recogniser: its kind and that of its model. The model behind a URL is not known.

    Args:
        name: see `settings.recogniser_parts`.

    Raises:
        SettingsError: the name is none of a recogniser.
    """
    kind, target = recogniser_parts(name)
    return f"{kind}:{model_identity(target)}"


def load_recogniser(name: str, speech: calls.SpeechModel, device: str) -> Recogniser | None:
    """The recogniser of a name, or None for `none`. Its model is loaded with the first turn that needs it.

    Args:
        name: the value of the setting URGENCY_RECOGNISER, see `settings.recogniser_parts`.
        speech: the speech model, with its CTC head for `ctc`.
        device: `auto` or a torch device.

    Raises:
        SettingsError: the name is none of a recogniser, or this machine has no such device.
    """
    kind, target = recogniser_parts(name)
    if kind == "ctc":
        return LazyRecogniser("ctc", lambda: load_ctc_recogniser(speech), needs_tokens=True)
    if kind == "whisper":
        place = resolve_device(device)
        return LazyRecogniser("whisper", lambda: load_whisper_recogniser(find_pretrained(target, VARIABLE), place))
    return ServerRecogniser(target) if kind == "http" else None

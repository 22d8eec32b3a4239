"""The grammar of feature names. Nothing is counted or computed here.

Source: the K-EmoPhone supplementary code and its derivatives.
"""

import re
from dataclasses import dataclass

WINDOW_S = {
    "S30": 30,
    "M01": 60,
    "M05": 300,
    "M10": 600,
    "M30": 1800,
    "H01": 3600,
    "H03": 10_800,
    "H06": 21_600,
    "H12": 43_200,
    "H24": 86_400,
}
"""Seconds of each window tag."""

_NAME = re.compile(
    r"(?P<stream>[^#=]+)#(?P<statistic>[^#=]+)(?:=(?P<value>[^#]+))?(?:#(?P<window>[A-Z]\d\d|[1-9]\d*))?"
)


@dataclass(frozen=True)
class FeatureName:
    """The parts of `STREAM#STATISTIC=value#WINDOW`, of which value and window may be absent.

    Attributes:
        stream: the sensor stream (`HRT`, `DST_MOT`, `bpm`), or `PIF` (participant), or `ESM` (time, past labels).
        statistic: `AVG`, `VAL`, `DSC`, `DUR`, ...; for PIF and ESM the item (`AGE`, `DOW`, `LIK`).
        value: the category that the feature is about (`WALKING`), or None.
        window_s: the length of the window in seconds, or None for a feature of the instant.
    """

    stream: str
    statistic: str
    value: str | None = None
    window_s: int | None = None


def parse_feature_name(name: str) -> FeatureName | None:
    """The parts of a feature's name; None when it does not follow the grammar.

    The window is a tag (`M05`) or whole seconds (`300`); streams may be of any case.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    stream, statistic, value, window = match.group("stream", "statistic", "value", "window")
    if window is None or window.isdigit():
        return FeatureName(stream, statistic, value, int(window) if window else None)
    return FeatureName(stream, statistic, value, WINDOW_S[window]) if window in WINDOW_S else None

"""The grammar of feature names such as `HRT#AVG#M05`.

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
"""Length of each window tag, in seconds."""

_NAME = re.compile(
    r"(?P<stream>[^#=]+)#(?P<statistic>[^#=]+)(?:=(?P<value>[^#]+))?(?:#(?P<window>[A-Z]\d\d|[1-9]\d*))?"
)


@dataclass(frozen=True)
class FeatureName:
    """The parts of `STREAM#STATISTIC=value#WINDOW`; value and window are optional.

    Attributes:
        stream: sensor stream (`HRT`, `DST_MOT`, `bpm`), `PIF` (participant), or `ESM` (time and past labels).
        statistic: `AVG`, `VAL`, `DSC`, `DUR`, ...; for PIF and ESM the item (`AGE`, `DOW`, `LIK`).
        value: category of the feature (`WALKING`), or None.
        window_s: length of the window in seconds, or None without a window.
    """

    stream: str
    statistic: str
    value: str | None = None
    window_s: int | None = None


def parse_feature_name(name: str) -> FeatureName | None:
    """The parts of a feature name, or None if the name does not follow the grammar.

    The window is a tag (`M05`) or a whole number of seconds (`300`). Upper and lower case are allowed.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    stream, statistic, value, window = match.group("stream", "statistic", "value", "window")
    if window is None or window.isdigit():
        return FeatureName(stream, statistic, value, int(window) if window else None)
    return FeatureName(stream, statistic, value, WINDOW_S[window]) if window in WINDOW_S else None

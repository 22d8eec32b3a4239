from .recordings.reading import FoundRecordings as FoundRecordings
from .recordings.reading import Recording as Recording
from .recordings.reading import find_recordings as find_recordings
from .rejects import Rejection as Rejection
from .rejects import RejectReason as RejectReason

from .application import create_app as create_app
from .configuration import ServingConfig as ServingConfig
from .configuration import StreamLimits as StreamLimits
from .parity import SAMPLE_CALLS as SAMPLE_CALLS
from .parity import Parity as Parity
from .parity import measure_parity as measure_parity
from .server import serve as serve
from .stream.client import stream_call as stream_call

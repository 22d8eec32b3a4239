from .application import create_app as create_app
from .configuration import ServingConfig as ServingConfig
from .configuration import StreamLimits as StreamLimits
from .server import serve as serve
from .stream.client import stream_call as stream_call

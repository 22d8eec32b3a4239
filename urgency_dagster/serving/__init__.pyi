from .application import create_app as create_app
from .configuration import ServingConfig as ServingConfig
from .server import serve as serve

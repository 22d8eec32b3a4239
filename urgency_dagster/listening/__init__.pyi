from .listener import Listener as Listener
from .listener import load_listener as load_listener
from .turns import HeardCall as HeardCall
from .turns import Listening as Listening
from .turns import Turn as Turn

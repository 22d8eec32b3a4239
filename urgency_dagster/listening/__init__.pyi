from .turns import HeardCall as HeardCall
from .turns import Listening as Listening
from .turns import Turn as Turn

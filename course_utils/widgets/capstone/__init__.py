"""What one presses in notebook 08."""

from .conversation import HEADPHONES, LOUDSPEAKER, WITHOUT_ECHO, Conversation, conversation_picture
from .loop import Loop
from .player import ReplyPlayer

__all__ = [
    "HEADPHONES",
    "LOUDSPEAKER",
    "WITHOUT_ECHO",
    "Conversation",
    "Loop",
    "ReplyPlayer",
    "conversation_picture",
]

"""From a text to a stream of sound: the pieces that are said, and the order of work. The networks stand in `models`."""

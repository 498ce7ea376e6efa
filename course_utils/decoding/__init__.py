"""From the probabilities of units to words: decoders, what they say while the sound still comes, and how that is measured.

A decoder takes log-probabilities with `push(log_probs)`, says what stands there with `partial()`, and ends with `finish()`.
Networks and their streams are in `course_utils.models`.
"""

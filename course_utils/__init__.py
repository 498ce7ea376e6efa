"""Helpers of the course: audio, features, data, metrics, plotting, training, widgets and peers.

Import the module you need (`from course_utils import audio, features`); importing the package itself
loads nothing, so that it stays fast.
"""

__version__ = "0.1.0"

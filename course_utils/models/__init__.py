"""Models built in the notebooks. Every other file here is written by `course export`: edit the notebook."""

"""Scripts that made everything in `data/`. Needed to rebuild or extend the data, never to use the course."""

"""The `pullarm` command: the only place that knows every part."""

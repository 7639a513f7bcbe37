"""How far off an estimate may be: one kind of interval a file, each with `add`, `get` and `+`."""

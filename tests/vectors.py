"""Reference figures of independent implementations, one JSON file a method."""

import json
from pathlib import Path
from typing import Any


def vector(name: str) -> dict[str, Any]:
    """What `tests/fixtures/vectors/NAME.json` holds: inputs, expected figures, formula, tolerance."""
    path = Path(__file__).parent / "fixtures" / "vectors" / f"{name}.json"
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded

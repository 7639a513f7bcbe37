"""What `pullarm status` prints fits where it is printed."""

from io import StringIO

from rich.console import Console

from cli.status import show_list, show_processes

EXPERIMENT = {
    "id": "exp_3kzuyrdtmndd",
    "key": "demo-2026-11-22-14-17",
    "state": "rolled_back",
    "traffic_pct": 0.8,
    "policies": [{"name": name} for name in ("thompson", "egreedy", "ucb", "control")],
    "started_at": "2026-11-22T17:34:29.187000Z",
}
SILENT = {
    "part": "worker",
    "name": "worker",
    "host": "a",
    "status": "silent",
    "silent_s": 61.7,
    "reasons": [],
}
DEGRADED = {
    "part": "serving",
    "name": "serving-0",
    "host": "b",
    "status": "degraded",
    "silent_s": 1.0,
    "reasons": ["the snapshot is 8 s old; does a worker run?"],
}


def printed() -> tuple[Console, StringIO]:
    """A console as wide as where nobody says how wide it is."""
    out = StringIO()
    return Console(file=out, width=80), out


def test_ids_and_keys_can_be_copied() -> None:
    console, out = printed()
    show_list(console, [EXPERIMENT])
    for field in ("id", "key"):
        assert str(EXPERIMENT[field]) in out.getvalue()


def test_processes_that_are_not_well_are_named() -> None:
    console, out = printed()
    show_processes(console, [DEGRADED, {**DEGRADED, "name": "x", "status": "ready"}, SILENT])
    assert out.getvalue().splitlines() == [
        "processes that live: 2 serving",
        "serving-0 of b is degraded: the snapshot is 8 s old; does a worker run?",
        "worker of a is silent for 62 s",
    ]
    console, out = printed()
    show_processes(console, None)
    assert "Redis is away" in out.getvalue()

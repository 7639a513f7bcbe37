"""What a soak reports: faults of one kind together, and sound only where nothing is wrong."""

from dataclasses import replace

import pytest
from rich.console import Console

from cli.endurance import Endurance
from cli.matrix import Account, Round
from cli.soak import as_json, show


def round_of(fault: str, recovery_s: float, missing: int = 0) -> Round:
    return Round(
        fault=fault,
        recovery_s=recovery_s,
        pause_s=recovery_s / 10,
        decision_ids=["a", "b", "c"],
        rewarded_ids=["a"],
        missing=missing,
    )


SOUND = Account(
    rounds=[round_of("valkey", 1.0), round_of("worker", 4.0), round_of("valkey", 3.0)],
    differences=[],
    gaps=0,
    doubled=0,
    same={1: True, 2: True},
    refused=2,
)

LEAKING = Endurance(
    minutes=15.0,
    mb={"worker": (101.0, 106.0)},
    mb_per_hour={"worker": 50.0},
    waiting=(10.0, 12.0),
    p99_ms=(5.0, 5.5),
)


def test_faults_of_one_kind_are_a_row() -> None:
    told = as_json(SOUND)
    assert told["faults"] == [
        {
            "fault": name,
            "times": times,
            "recovery_s": recovery_s,
            "worst_recovery_s": worst_s,
            "pause_s": worst_s / 10,
            "decisions": 3 * times,
            "rewards": times,
            "missing": 0,
        }
        for name, times, recovery_s, worst_s in (("worker", 1, 4.0, 4.0), ("valkey", 2, 2.0, 3.0))
    ]
    assert (told["decisions"], told["rewards"], told["sound"]) == (9, 3, True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (replace(SOUND, rounds=[round_of("worker", 1.0, missing=1)]), "acknowledged, 1 missing"),
        (replace(SOUND, differences=["policy 1 arm 1"]), "verify: 1 differences"),
        (replace(SOUND, gaps=1), "1 numbered events have not come"),
        (replace(SOUND, doubled=1), "1 doubled"),
        (replace(SOUND, endurance=LEAKING), "memory of worker, MB"),
        (replace(SOUND, same={1: True, 2: False}), "as two do: ANOTHER"),
    ],
)
def test_whatever_is_wrong_is_told(
    wrong: Account, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show(Console(width=100), SOUND)
    assert said not in capsys.readouterr().out
    assert not wrong.sound
    show(Console(width=100), wrong)
    assert said in capsys.readouterr().out


def test_growth_is_not_told_of_a_look_that_was_too_short(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(Console(width=100), replace(SOUND, endurance=replace(LEAKING, mb_per_hour={})))
    assert "too short" in capsys.readouterr().out

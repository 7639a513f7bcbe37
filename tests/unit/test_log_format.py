"""The words that runbooks search logs for are found in both formats."""

import json
import logging
import re
import sys

import pytest

from cli.log_format import formatter
from pullarm.domain.errors import ConfigurationError
from pullarm.domain.ports import FoldResult
from workers.counts import Folded, Published
from workers.diary import Diary

FORMATS = pytest.mark.parametrize("name", ["text", "json"])


def lines(name: str, records: list[logging.LogRecord]) -> list[str]:
    made = formatter({"PULLARM_LOG_FORMAT": name, "PULLARM_PROCESS": "worker-1"})
    return [made.format(record) for record in records]


@FORMATS
def test_what_was_folded_and_published_is_told_once(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folded, published = Folded(), Published()
    diary = Diary(folded, published)
    diary.tell()
    assert caplog.records == []
    for _ in range(2):
        folded.add(FoldResult(folds={1: 1}, decisions=5, rewards=3), 0.25)
    published.add("exp_a", 7, 11, 0.5)
    published.add("exp_a", 8, 12, 0.5)
    diary.tell()
    reward, policy = lines(name, caplog.records)
    assert re.search("Reward.*computed: 6 rewards, 10 decisions, in 2 folds", reward)
    assert re.search("Policy.*exp_a updated: version 8, fold 12, publications 2", policy)
    caplog.clear()
    diary.tell()
    assert caplog.records == []
    folded.add(FoldResult(folds={}, decisions=1, rewards=0), 0.25)
    diary.tell()
    assert re.search("Reward.*computed: 0 rewards, 1 decisions, in 1 folds", caplog.text)
    assert (folded.seconds, published.seconds) == (0.75, 1.0)


@FORMATS
def test_errors_are_found_by_their_level(name: str, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("workers.guard").error("GUARDRAIL FAIL experiment=%s", "exp_a")
    (line,) = lines(name, caplog.records)
    assert "ERROR" in line
    assert "GUARDRAIL FAIL experiment=exp_a" in line


def test_json_is_one_object_a_line_with_the_traceback() -> None:
    try:
        raise ValueError("two\nlines of \u2028 “words”")
    except ValueError:
        record = logging.LogRecord(
            "serving", logging.CRITICAL, __file__, 1, "%s\ndied", ("it",), sys.exc_info()
        )
    record.created, record.msecs = 1_700_000_000.5, 500.0
    (line,) = lines("json", [record])
    assert len(line.splitlines()) == 1
    told = json.loads(line)
    assert "lines of \u2028 “words”" in told.pop("exception")
    assert told == {
        "at": "2023-11-14T22:13:20.500Z",
        "level": "CRITICAL",
        "process": "worker-1",
        "logger": "serving",
        "message": "it\ndied",
    }


def test_a_format_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PULLARM_LOG_FORMAT='xml': use one of text, json"):
        formatter({"PULLARM_LOG_FORMAT": "xml"})

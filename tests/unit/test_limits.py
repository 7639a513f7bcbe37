"""The limits that docs/threat-model.md promises are those of the code."""

import re
from pathlib import Path

from control.settings import Limits
from pullarm.domain import arms, cohorts, decision_id, experiment
from pullarm.storage.redis import events
from serving import decider, event_log, metrics, requests, transport, wire

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "threat-model.md"
MIB = 1024 * 1024
LIMITS = {
    "bytes of an id": wire.MAX_ID_BYTES,
    "attributes of a selection": wire.MAX_ATTRIBUTES,
    "candidates of a selection": wire.MAX_CANDIDATES,
    "slots of a selection": wire.MAX_SLOTS,
    "requests in a batch": requests.MAX_BATCH,
    "MiB of a gRPC message": transport.MAX_MESSAGE_BYTES / MIB,
    "characters of a decision id": decision_id.MAX_CHARACTERS,
    "first-seen candidates of a decision": decider.MAX_NEWCOMERS,
    "arms of an open catalogue": experiment.Spec.__dataclass_fields__["max_arms"].default,
    "arms of an experiment": arms.MAX_ARMS,
    "numbers of arms": arms.MAX_ARM_NUMBERS,
    "values of an attribute": cohorts.MAX_VALUES,
    "experiments with figures": metrics.MAX_EXPERIMENTS,
    "requests that wait": event_log.MAX_WAITING,
    "MiB of events that wait": event_log.MAX_WAITING_BYTES / MIB,
    "MiB of the stream's backlog": events.MAX_BACKLOG_BYTES / MIB,
    "MiB of a REST request": Limits().body_bytes / MIB,
    "REST requests a second for an address": Limits().per_address,
    "REST requests a second for a token": Limits().per_token,
}


def test_the_table_of_limits_is_the_codes() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text[text.index("| what | most |") :].split("\n\n")[0]
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \|", table, re.MULTILINE)
    told = {what: float(most.replace(",", "")) for what, most in rows}
    assert len(told) == len(LIMITS)
    for name, limit in LIMITS.items():
        assert [most for what, most in told.items() if what.startswith(name)] == [limit], name

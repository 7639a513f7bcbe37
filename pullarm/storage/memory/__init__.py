"""Every port in memory, for tests and for trying things out; each passes the contract tests of the real ones."""

from pullarm.storage.memory.board import MemoryBoard
from pullarm.storage.memory.callers import MemoryCallers
from pullarm.storage.memory.events import MemoryEvents
from pullarm.storage.memory.experiments import MemoryExperiments
from pullarm.storage.memory.groups import MemoryGroups
from pullarm.storage.memory.instances import MemoryInstances
from pullarm.storage.memory.ledger import MemoryLedger
from pullarm.storage.memory.summary import MemorySummary
from pullarm.storage.memory.tokens import MemoryTokens
from pullarm.storage.memory.traces import MemoryTraces
from pullarm.storage.memory.trail import MemoryTrail
from pullarm.storage.memory.user_groups import MemoryUserGroups

__all__ = [
    "MemoryBoard",
    "MemoryCallers",
    "MemoryEvents",
    "MemoryExperiments",
    "MemoryGroups",
    "MemoryInstances",
    "MemoryLedger",
    "MemorySummary",
    "MemoryTokens",
    "MemoryTraces",
    "MemoryTrail",
    "MemoryUserGroups",
]

"""Every key there is. Keys that are read or written together share a hash tag, so that a cluster keeps them together.

pullarm:events:{0}              stream    entries of events, field `b`; group `ledger`; in a cluster one for each shard
pullarm:{board}:complete        string    msgpack: incarnation and the numbers of all published experiments
pullarm:{board}:changes         integer   moves with every publication and halt
pullarm:{board}:beat            integer   moves about once a second while everything folded is on the board
pullarm:{board}:callers         string    SHA-256 of the rest, then msgpack: the tokens that may call serving
pullarm:{board}:instances       hash      by process: milliseconds, ':' and msgpack Instance, as it said then
pullarm:{7}:head                hash      incarnation, pub_no, arms, blob (msgpack Head)
pullarm:{7}:config              string    msgpack Experiment
pullarm:{7}:grid                string    float64 points of the quadrature grid
pullarm:{7}:posterior:2         string    int64 pairs (serves, rewards) in millionths, one for each arm row
pullarm:{7}:halt                string    `stopped` or `rolled_back`, a guard epoch and why, until a resume
pullarm:{7}:traces              list      msgpack Mark: what was folded last of traced requests; gone within a minute
"""

GROUP = "ledger"
COMPLETE = "pullarm:{board}:complete"
CHANGES = "pullarm:{board}:changes"
BEAT = "pullarm:{board}:beat"
CALLERS = "pullarm:{board}:callers"
INSTANCES = "pullarm:{board}:instances"

SHARDS = (10, 3, 43, 11, 2, 42, 12, 1, 41, 13, 0, 40)
"""The streams of a cluster: each has its slot in another twelfth of them, so that primaries have about as many each.

None may be left out later: what waits in it would be read by nobody.
"""


def events(shard: int) -> str:
    """The stream of one shard."""
    return f"pullarm:events:{{{shard}}}"


def head(number: int) -> str:
    """The version of what is published for an experiment."""
    return f"pullarm:{{{number}}}:head"


def config(number: int) -> str:
    """An experiment's configuration."""
    return f"pullarm:{{{number}}}:config"


def grid(number: int) -> str:
    """An experiment's quadrature grid."""
    return f"pullarm:{{{number}}}:grid"


def posterior(number: int, policy: int) -> str:
    """The posterior of one policy of an experiment."""
    return f"pullarm:{{{number}}}:posterior:{policy}"


def halt(number: int) -> str:
    """A stop or rollback that serving obeys at once."""
    return f"pullarm:{{{number}}}:halt"


def traces(number: int) -> str:
    """What was folded last of the traced requests of an experiment."""
    return f"pullarm:{{{number}}}:traces"

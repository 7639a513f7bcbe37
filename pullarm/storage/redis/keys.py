"""Every key there is. Keys that are read or written together share a hash tag, so that a cluster keeps them together.

pullarm:events:{0}              stream    entries of events, field `b`; group `ledger`
pullarm:{board}:complete        string    msgpack: incarnation and the numbers of all published experiments
pullarm:{board}:changes         integer   moves with every publication and halt
pullarm:{board}:beat            integer   moves about once a second while everything folded is on the board
pullarm:{board}:callers         string    SHA-256 of the rest, then msgpack: the tokens that may call serving
pullarm:{7}:head                hash      incarnation, pub_no, arms, blob (msgpack Head)
pullarm:{7}:config              string    msgpack Experiment
pullarm:{7}:grid                string    float64 points of the quadrature grid
pullarm:{7}:posterior:2         string    int64 pairs (serves, rewards) in millionths, one for each arm row
pullarm:{7}:halt                string    `stopped`, or `rolled_back:` and a guard epoch, until a resume
"""

GROUP = "ledger"
COMPLETE = "pullarm:{board}:complete"
CHANGES = "pullarm:{board}:changes"
BEAT = "pullarm:{board}:beat"
CALLERS = "pullarm:{board}:callers"


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

"""MABWiser's simulator on events that replay goes through too; nothing where it is not installed."""

import logging
import time

from replay.rejection import Events

TRAINED, TESTED, BATCH = 200, 200, 100
"""Of the first events: a million would take it hours."""


def measure(events: Events, *, seed: int) -> dict[str, float]:
    """Nanoseconds an event of the policies that both have, learning in batches as ours do, by name."""
    try:
        import mabwiser.simulator
        from mabwiser.mab import MAB, LearningPolicy
    except ImportError:
        return {}
    policies = {
        "thompson": LearningPolicy.ThompsonSampling(),
        "egreedy": LearningPolicy.EpsilonGreedy(epsilon=0.1),
        "ucb": LearningPolicy.UCB1(),
    }
    count = TRAINED + TESTED
    found = {}
    logging.disable(logging.INFO)  # it tells of every batch
    for name, policy in policies.items():
        simulator = mabwiser.simulator.Simulator(
            [(name, MAB(list(range(len(events.arms))), policy, seed=seed))],
            decisions=events.arm[:count],
            rewards=events.reward[:count],
            test_size=TESTED / count,
            is_ordered=True,
            batch_size=BATCH,
            is_quick=True,
            seed=seed,
        )
        started = time.perf_counter()
        simulator.run()
        found[name] = (time.perf_counter() - started) / TESTED * 1e9
    logging.disable(logging.NOTSET)
    return found

"""Compile what serving and workers need, before a test or a platform waits for it: else each of their processes does.

Two processes, one with Thompson sampling's kernels, the other with all others.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from pullarm.policies.thompson import Thompson
from pullarm.policies.warm import every_policy, warm_up
from serving import query


def compile_thompson() -> None:
    warm_up([each for each in every_policy() if isinstance(each, Thompson)])


def compile_others() -> None:
    warm_up([each for each in every_policy() if not isinstance(each, Thompson)])
    query.warm_up()


def main() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        for work in [processes.submit(compile_thompson), processes.submit(compile_others)]:
            work.result()


if __name__ == "__main__":
    main()

"""The one-sided Bernoulli e-process against 40-digit figures, and where it must not invent evidence."""

import math

import numpy as np
import pytest

from pullarm.statistics.bernoulli import ERRORS, SLOW, log_e
from tests.vectors import vector

VECTOR = vector("bernoulli_eprocess")


@pytest.mark.parametrize("case", VECTOR["cases"], ids=lambda c: f"{c['k']}/{c['n']} {c['p0']}")
def test_vectors(case: dict[str, float]) -> None:
    """One of them, 40 of 20,000 against 5 %, is too unlikely for double precision: no evidence, as it should be."""
    a, b = VECTOR["cases"][0]["prior"] if case["p0"] == 0.01 else VECTOR["cases"][-1]["prior"]
    found = float(log_e(case["k"], case["n"], at_most=case["p0"], prior=(a, b)))
    if (case["k"], case["n"], case["p0"]) == (40, 20_000, 0.05):
        assert found == -math.inf
    else:
        assert found == pytest.approx(case["log_e"], abs=VECTOR["tolerance"])


def test_the_priors_are_the_vector_s() -> None:
    assert [list(ERRORS), list(SLOW)] == [VECTOR["cases"][at]["prior"] for at in (0, -1)]


@pytest.mark.parametrize("n", [10**5, 10**6, 10**8])
def test_far_below_the_limit_there_is_no_evidence(n: int) -> None:
    """Where the upper tail underflows, clamping it would give E = infinity."""
    with np.errstate(all="raise", under="ignore"):
        found = log_e([0, n // 1000], [n, n], at_most=0.05, prior=SLOW)
    assert (found < 0.0).all()


def test_without_events_the_e_value_is_one() -> None:
    assert float(log_e(0, 0, at_most=0.01, prior=ERRORS)) == 0.0


def test_its_mean_at_the_limit_is_one_whatever_the_sample() -> None:
    """A sum over all outcomes: an e-value, exactly."""
    for n in (1, 20, 200):
        k = np.arange(n + 1)
        likelihood = [math.comb(n, int(j)) * 0.05**j * 0.95 ** (n - j) for j in k]
        mean = np.exp(log_e(k, np.full(n + 1, n), at_most=0.05, prior=SLOW)) @ likelihood
        assert mean == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("k", "n", "at_most", "problem"),
    [
        (-1, 5, 0.1, "k must be from 0 to n"),
        (6, 5, 0.1, "k must be from 0 to n"),
        (1, math.inf, 0.1, "k must be from 0 to n"),
        (1, 5, 1.0, "at_most must be in \\(0, 1\\)"),
    ],
)
def test_bad_numbers_are_refused(k: float, n: float, at_most: float, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        log_e(k, n, at_most=at_most, prior=ERRORS)
    with pytest.raises(ValueError, match="the prior above 0"):
        log_e(1, 5, at_most=0.1, prior=(0.0, 1.0))

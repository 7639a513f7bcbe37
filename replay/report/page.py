"""The page: what was run, what came of it, and how to run it again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from shlex import quote

from pullarm.domain.numerals import numeral
from replay.comparison import Cohorts, Estimate
from replay.evaluation import Report
from replay.gates import WEIGHT_EDGES
from replay.report.charts import Bar, Point, curves, forest, histogram, number_of
from replay.run_file import Results, Under

_ARMS = 10
_WAYS = {
    "truth": (
        "Each visitor is offered a handful of the arms whose outcome for this very user is known, so that whatever a "
        "policy shows earns what it would have earned. Visits are drawn; opinions are real."
    ),
    "rejection": (
        "Logged events count where the policy would have chosen their arm itself. That is unbiased where arms were "
        "logged uniformly and independently; people choose what they rate, so that on ratings it compares policies and "
        "promises nothing of live traffic."
    ),
}


def page(results: Results, evaluations: Sequence[tuple[str, str, Report]] = ()) -> str:
    """The whole document.

    Args:
        results: what `pullarm replay run` wrote.
        evaluations: of a log each: the policy, the log's name, and what `evaluate` found.
    """
    parts = [
        f"<h1>Replay: {escape(results.way)}</h1>",
        f"<p>{escape(results.data)}. {_extent(results)}</p>",
        f'<p class="soft">{_WAYS[results.way]}</p>',
    ]
    for under in results.under:
        parts += _under(results, under)
    for policy, log, report in evaluations:
        parts += _evaluation(policy, log, report)
    parts += _again(results)
    style = (files(__package__) / "page.css").read_text()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Replay: {escape(results.data)}</title><style>\n{style}</style></head>\n"
        f"<body><main>{chr(10).join(parts)}</main></body></html>\n"
    )


def _extent(results: Results) -> str:
    return (
        f"{results.runs} runs of each policy over {results.events:,} events and {results.days} days; "
        f"seed {results.seed}."
    )


def _under(results: Results, under: Under) -> Iterator[str]:
    setting = under.setting
    late = f", rewards {setting.delay_min:g} minutes late on average" if setting.delay_min else ""
    yield f"<h2>Published every {setting.every:,} decisions{late}</h2>"
    yield _table(
        "Reward a decision in per cent. Intervals are of 95 %: over runs (other visits and draws of the same people), "
        "and over users (other people).",
        (
            "policy",
            "decisions",
            "rate",
            "± over runs",
            "± over users",
            "less control",
            "regret",
            "less best",
        ),
        [
            (
                label,
                f"{each.decisions:,.0f}",
                _value(each.rate),
                _half(each.rate) if each.runs > 1 else "",
                _half(each.by_users),
                _signed(each.less_control),
                _signed(each.regret),
                _signed(each.less_best) if label != each.best else "best",
            )
            for label, each in under.policies.items()
        ],
    )
    yield (
        '<p class="soft">Regret is what the best fixed arm among those on offer would have earned more. The best '
        "policy is chosen in the even runs and compared in the odd ones, so that luck in being chosen counts for "
        "nothing.</p>"
    )
    compared = [
        Bar(label, each.less_control.value or 0.0, each.less_control.lower, each.less_control.upper)
        for label, each in under.policies.items()
        if each.less_control is not None
    ]
    if compared:
        yield "<h3>Difference from control</h3>"
        yield forest("Difference from control", compared, zero=0.0, percent=True)
    yield "<h3>Rate so far</h3>"
    series = {
        label: [Point(at[0], *at[1:4]) for at in each.curve]
        for label, each in under.policies.items()
    }
    yield curves("Rate so far", series, x_label="decisions", percent=True)
    yield "<h3>Regret so far</h3>"
    regrets = {
        label: [Point(at[0], at[4], at[4], at[4]) for at in each.curve]
        for label, each in under.policies.items()
    }
    yield curves("Regret so far", regrets, x_label="decisions", percent=False)
    yield from _stability(under)
    yield from _arms(results, under)
    for label, each in under.policies.items():
        for cohorts in each.cohorts:
            if cohorts.cohorts:
                yield from _cohorts(label, cohorts)


def _stability(under: Under) -> Iterator[str]:
    yield "<h3>Stability over time</h3>"
    series = {
        label: [
            Point(day, one.value, one.lower or one.value, one.upper or one.value)
            for day, one in enumerate(each.periods, start=1)
            if one.value is not None
        ]
        for label, each in under.policies.items()
    }
    yield curves("Rate by period", series, x_label="day or longer period", percent=True)
    yield _table(
        "How rates vary from period to period: as observed, without noise, and Cochran's test that they do not.",
        ("policy", "observed", "without noise", "Q", "p"),
        [
            (
                label,
                f"{each.stability.naive:.4f}",
                f"{each.stability.corrected:.4f}",
                f"{each.stability.q:.1f}",
                _p(each.stability.p),
            )
            for label, each in under.policies.items()
            if each.stability is not None
        ],
    )


def _arms(results: Results, under: Under) -> Iterator[str]:
    yield "<h3>Arms</h3>"
    labels = list(under.policies)
    shares = {
        label: {share.arm: share.share for share in each.shares}
        for label, each in under.policies.items()
    }
    most = sorted(
        range(len(results.arms)), key=lambda arm: -max(shares[label][arm] for label in labels)
    )
    yield _table(
        f"Shares of the decisions: the {min(_ARMS, len(most))} arms with the largest of {len(most)}. Entropy is that "
        "of all shares, 1 where they are equal.",
        ("arm", "rate", *labels),
        [
            ("entropy", "", *(f"{under.policies[label].entropy:.3f}" for label in labels)),
            *(
                (
                    results.arms[arm].label,
                    number_of(results.arms[arm].rate, percent=True),
                    *(number_of(shares[label][arm], percent=True) for label in labels),
                )
                for arm in most[:_ARMS]
            ),
        ],
    )


def _cohorts(label: str, cohorts: Cohorts) -> Iterator[str]:
    yield f"<h3>{escape(label)} by {escape(cohorts.attribute)}</h3>"
    told = cohorts.variation
    said = "Intervals are over users."
    if told is not None:
        beyond = f"{100 * told.corrected:.1f} % of their mean beyond noise"
        said += f" Rates vary by {beyond} (Cochran p {_p(told.p, sign=True)})."
    if cohorts.too_few:
        said += f" {cohorts.too_few:,} decisions of cohorts below 2,000 are not told."
    yield _table(
        said,
        (cohorts.attribute, "decisions", "rate", "95 %", "less control"),
        [
            (
                each.value,
                f"{each.decisions:,}",
                _value(each.rate),
                _interval(each.rate),
                _signed(each.less_control),
            )
            for each in cohorts.cohorts
        ],
    )


def _evaluation(policy: str, log: str, report: Report) -> Iterator[str]:
    yield f"<h2>{escape(policy)}, estimated from {escape(log)}</h2>"
    found = report.findings
    yield (
        f"<p>{found.rounds:,} rounds, worth {found.effective_rounds:,.0f} under the weights; mean weight "
        f"{found.mean_weight:.4f}, the largest {found.max_weight:,.2f}.</p>"
    )
    if found.reasons:
        yield f"<p>Not estimable: {escape('; '.join(found.reasons))}.</p>"
    else:
        bars = [
            Bar(name, each.value, each.normal.lower, each.normal.upper)
            for name, each in report.estimates.items()
        ]
        yield "<h3>Estimates, with intervals clustered by user</h3>"
        yield forest(f"Estimates of {policy}", bars, zero=None, percent=True)
    yield "<h3>Weights</h3>"
    edges = [math.log10(each) for each in WEIGHT_EDGES]
    yield histogram(
        "Weights", edges, found.weights, x_label="weight, as a power of ten; 0 is with the smallest"
    )


def _again(results: Results) -> Iterator[str]:
    yield "<h2>How to make it again</h2>"
    words = " ".join(map(quote, results.arguments))
    yield f"<pre>pullarm replay run DATA --out FOLDER {escape(words)}</pre>"
    yield _table(
        "The data",
        ("file", "bytes", "SHA-256"),
        [(each.name, f"{each.bytes:,}", each.sha256) for each in results.sources],
    )
    yield _table("Versions", ("what", "version"), list(results.versions.items()))
    yield _table(
        "Policies",
        ("policy", "parameters"),
        [
            (label, ", ".join(f"{name}={value}" for name, value in of.items()))
            for label, of in results.policies.items()
        ],
    )


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    body = "".join(_row(*row) for row in rows)
    return (
        f'<figure><figcaption>{escape(caption)}</figcaption><div class="scroll"><table>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div></figure>"
    )


def _row(first: str, *rest: str) -> str:
    cells = "".join(f"<td>{escape(each)}</td>" for each in rest)
    return f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'


def _value(estimate: Estimate) -> str:
    return "" if estimate.value is None else number_of(estimate.value, percent=True)


def _interval(estimate: Estimate) -> str:
    if estimate.lower is None or estimate.upper is None:
        return ""
    return f"{numeral(100 * estimate.lower, '.2f')} to {numeral(100 * estimate.upper, '.2f')} %"


def _signed(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return ""
    half = f" ± {_half(estimate)}" if estimate.upper is not None else ""
    return f"{numeral(100 * estimate.value, '+.2f')}{half} %"


def _p(value: float, *, sign: bool = False) -> str:
    """A p-value, with what it is to the number if asked."""
    told = f"{value:.3f}"
    return "< 0.001" if value < 0.001 else f"= {told}" if sign else told


def _half(estimate: Estimate) -> str:
    """Half the width of an interval, in hundredths."""
    if estimate.value is None or estimate.upper is None:
        return ""
    return f"{100 * (estimate.upper - estimate.value):.2f}"

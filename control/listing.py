"""Which experiments a list shows, in which order, a page at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.fields import shown
from control.paging import cut
from pullarm.domain.errors import invalid
from pullarm.domain.experiment import Experiment, State

_ORDERS: Mapping[str, Callable[[Experiment], Any]] = {
    "created": lambda each: each.created_at,
    "updated": lambda each: each.updated_at,
    "name": lambda each: each.spec.name.casefold(),
    "state": lambda each: list(State).index(each.state),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a list is asked for."""

    states: tuple[State, ...]
    """None of them: all but archived."""
    search: str
    """In id, key, name or notes, whatever the case; empty: anything."""
    sort: str
    """One of _ORDERS; a hyphen before it turns it round."""
    after: str
    """The id of the last one of the page before; empty: from the beginning."""
    limit: int


def read_states(text: str) -> tuple[State, ...]:
    """States with commas between, or `all`; raises InvalidInput."""
    if not text:
        return ()
    if text == "all":
        return tuple(State)
    names = {state.value: state for state in State}
    for word in text.split(","):
        if word not in names:
            raise invalid("state", f"must be all, or of {', '.join(names)}; got {shown(word)}")
    return tuple(names[word] for word in text.split(","))


def page(found: Iterable[Experiment], wish: Wish) -> tuple[Sequence[Experiment], str | None]:
    """The experiments to show, and what to give as `after` for the next ones; raises InvalidInput.

    A page goes on where the last one ended, also where its last experiment is no longer of those asked for.
    """
    order = _ORDERS[wish.sort.removeprefix("-")]
    ascending = sorted(found, key=lambda each: (order(each), each.number))
    everything = ascending[::-1] if wish.sort.startswith("-") else ascending
    if wish.after:
        ids = [each.id for each in everything]
        if wish.after not in ids:
            raise invalid("after", f"there is no experiment {shown(wish.after)}")
        everything = everything[ids.index(wish.after) + 1 :]
    fitting = [each for each in everything if _fits(each, wish)]
    return cut(fitting, wish.limit, lambda each: each.id)


def _fits(experiment: Experiment, wish: Wish) -> bool:
    if wish.states and experiment.state not in wish.states:
        return False
    if not wish.states and experiment.state is State.ARCHIVED:
        return False
    texts = (experiment.id, experiment.key, experiment.spec.name, experiment.spec.notes)
    return any(wish.search.casefold() in text.casefold() for text in texts)

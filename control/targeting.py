"""Reading whom an experiment is for."""

from control.fields import Fields, is_control, shown
from pullarm.domain.targeting import COMPARISONS, EXISTS, LISTS, OPERATORS, Targeting, Value

MAX_ATTRIBUTES = 32
MAX_VALUES = 1_000
_MAX_BYTES = 128
_LARGEST = 1e15
_SENDABLE = f"attributes have at most {_MAX_BYTES} bytes and no control characters"


def read_targeting(given: Fields, base: Targeting) -> Targeting:
    """The conditions of the field `targeting`, by attribute and operator; as in `base` where it is not given."""
    if "targeting" not in given:
        return base
    nested = given.nested("targeting")
    attributes = nested.given()
    if len(attributes) > MAX_ATTRIBUTES:
        given.note("targeting", f"has {len(attributes)} attributes; at most {MAX_ATTRIBUTES}")
        return base
    found: dict[str, dict[str, Value]] = {}
    for attribute, _ in attributes:
        if not attribute or _unsendable(attribute):
            given.note("targeting", f"{shown(attribute)} is no name of an attribute; {_SENDABLE}")
        else:
            found[attribute] = _read_conditions(nested, attribute)
    return found


def _read_conditions(nested: Fields, attribute: str) -> dict[str, Value]:
    one = nested.nested(attribute)
    one.only(OPERATORS)
    found: dict[str, Value] = {}
    for operator, value in one.given():
        if operator in LISTS:
            found[operator] = _read_values(one, operator, value)
        elif operator in COMPARISONS:
            found[operator] = one.number(operator, 0.0, -_LARGEST, _LARGEST)
        elif operator == EXISTS and isinstance(value, bool):
            found[operator] = value
        elif operator == EXISTS:
            one.note(operator, f"must be true or false, not {shown(value)}")
    if not found:
        nested.note(attribute, f"needs a condition: {', '.join(OPERATORS)}")
    elif found.get(EXISTS) is False and len(found) > 1:
        one.note(EXISTS, "is false: what is not there meets nothing else; leave the others out")
    return found


def _read_values(one: Fields, operator: str, value: object) -> list[str]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
        one.note(operator, f"must be a list of 1 to {MAX_VALUES} values, not {shown(value)}")
        return []
    values: list[str] = []
    for place, each in enumerate(value):
        if not isinstance(each, str):
            one.note(f"{operator}[{place}]", f"must be text, as attributes are, not {shown(each)}")
        elif _unsendable(each):
            one.note(f"{operator}[{place}]", f"is {shown(each)}; {_SENDABLE}")
        else:
            values.append(each)
    return list(dict.fromkeys(values))


def _unsendable(text: str) -> bool:
    """Whether no request can have it as an attribute's name or value."""
    return any(map(is_control, text)) or len(text.encode()) > _MAX_BYTES

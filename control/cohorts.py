"""Reading what makes the cohorts of an experiment."""

from control.fields import Fields, shown
from pullarm.domain.cohorts import MAX_VALUES, CohortRule

_MAX_BYTES = 128  # what an attribute's name and value may have in Select


def read_cohorts(given: Fields, base: CohortRule | None) -> CohortRule | None:
    """The rule, as a whole or by the name of its attribute; `base` where none is given."""
    if "cohorts" not in given:
        return base
    if isinstance(given.raw("cohorts"), str):
        given = given.with_value("cohorts", {"attribute": given.raw("cohorts")})
    rule = given.nested("cohorts")
    rule.only(("attribute", "values", "max_values"))
    if "values" in rule and "max_values" in rule:
        rule.note(
            "max_values", "limits the values that are found where none are listed; give one of them"
        )
    return CohortRule(
        attribute=rule.text("attribute", "", limit_bytes=_MAX_BYTES),
        values=_read_values(rule),
        max_values=rule.whole("max_values", CohortRule(attribute="").max_values, 1, MAX_VALUES),
    )


def _read_values(rule: Fields) -> tuple[str, ...]:
    values: dict[str, None] = {}
    for one in rule.entries("values", MAX_VALUES, "value"):
        one.only(("value",))
        value = one.text("value", "", limit_bytes=_MAX_BYTES)
        if value in values:
            one.note("value", f"{shown(value)} is listed twice")
        elif value:
            values[value] = None
    if rule.raw("values") == []:
        rule.note("values", "must list at least one value, or be left out")
    return tuple(values)

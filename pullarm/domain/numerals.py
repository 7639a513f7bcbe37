"""Numbers in texts that people read; those for machines are in JSON."""


def numeral(value: float, form: str) -> str:
    """A number in this format of Python's, with a true minus, which is as wide as a plus and never a line's end."""
    return format(value, form).replace("-", "\N{MINUS SIGN}")

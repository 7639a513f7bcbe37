"""Whole numbers of few bytes: seven bits each, the lowest first; all but the last have the highest bit (LEB128)."""


def _written(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SHORT = tuple(_written(value) for value in range(1 << 14))


def write(value: int) -> bytes:
    """A number of at least 0; raises ValueError for a negative one."""
    return _SHORT[value] if 0 <= value < len(_SHORT) else _written(value)


def read(data: bytes, at: int) -> tuple[int, int]:
    """The number that starts there, and where it ends; raises IndexError where the data end first."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7

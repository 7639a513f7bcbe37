"""Elementary functions whose bits depend on IEEE 754 alone, not on processor, C library or scipy."""

from __future__ import annotations

import math

import numpy as np

from pullarm.policies.compile import kernel

_FACTORIAL_RECIPROCALS = 1.0 / np.array([math.factorial(i) for i in range(13)], dtype=np.float64)
_LOG2_E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_ROUND = 1.5 * 2.0**52
_SQRT_2 = 1.4142135623730951
_MANTISSA = np.int64((1 << 52) - 1)
_EXPONENT_OF_ONE = np.int64(1023 << 52)


@kernel
def exp(x: float) -> float:
    """e^x within 2 units in the last place for -700 <= x <= 700; 0 below."""
    # Adding 1.5 * 2^52 rounds to a whole k and leaves k in the low bits.
    shifted = x * _LOG2_E + _ROUND
    k = shifted - _ROUND
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    value = _FACTORIAL_RECIPROCALS[12]
    for i in range(11, -1, -1):
        value = value * r + _FACTORIAL_RECIPROCALS[i]
    power = np.int64((np.float64(shifted).view(np.int64) << 52) + _EXPONENT_OF_ONE)
    return value * power.view(np.float64) if x >= -700.0 else 0.0


@kernel
def log(x: float) -> float:
    """The natural logarithm of a normal x > 0, within 2 units in the last place."""
    bits = np.float64(x).view(np.int64)
    exponent = float((bits >> 52) - 1023)
    mantissa = np.int64((bits & _MANTISSA) | _EXPONENT_OF_ONE).view(np.float64)
    if mantissa > _SQRT_2:
        mantissa *= 0.5
        exponent += 1.0
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    series = 0.0
    for i in range(21, 1, -2):
        series = series * z + 1.0 / i
    return exponent * _LN2_HIGH + (exponent * _LN2_LOW + 2.0 * s * (1.0 + z * series))


@kernel
def sine(x: float) -> float:
    """sin x for 0 <= x <= pi/2 by its Taylor series."""
    square = x * x
    series = 1.0
    for i in range(23, 2, -2):
        series = 1.0 - square / (i * (i - 1.0)) * series
    return x * series

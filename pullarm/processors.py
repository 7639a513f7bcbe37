"""Processors that do not sleep. One that does takes its time to wake: on a virtual machine up to milliseconds."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import pack

from pullarm.domain.errors import ConfigurationError

KEEP_AWAKE = "PULLARM_KEEP_AWAKE"
DEVICE = Path("/dev/cpu_dma_latency")
"""Of Linux (Documentation/power/pm_qos_interface.rst): who holds it open says how many microseconds waking may take."""


@contextmanager
def awake(device: Path = DEVICE) -> Iterator[None]:
    """While it lasts, no processor of the machine goes to sleep; idle ones take electricity, or time of their host.

    Raises ConfigurationError where the system does not let us.
    """
    try:
        held = os.open(device, os.O_WRONLY)
    except OSError as error:
        raise ConfigurationError(
            f"{KEEP_AWAKE}: {device} cannot be written ({error.strerror}); give this user the right to, or set it to 0"
        ) from error
    try:
        os.write(held, pack("i", 0))
        yield
    finally:
        os.close(held)

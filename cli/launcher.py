"""Become a supervised program that the kernel signals when its supervisor dies.

Run as a script, `launcher.py SIGNAL SUPERVISOR_PID NICE SLICE_US ACCOUNT PROGRAM [ARGUMENT ...]`, ACCOUNT being UID:GID
or "-", SLICE_US 0 for the system's own.
Doing this between fork and exec instead would run Python code in a copy of a process that may have threads.
"""

import ctypes
import os
import signal
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""The number of the call, which no library has a name for, by machine."""
TRIES = 20
PAUSE_S = 0.05


def follow_supervisor(death_signal: int, supervisor: int) -> None:
    """Ask for a signal when the supervisor dies, and stop where it has died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit("the supervisor has gone")


def shorten_slices(slice_us: int) -> None:
    """Ask for short slices of processor time, where the system knows them (Linux 6.12): who has them and wakes does not
    wait for the slice of somebody who asked for none, which may take 4 ms."""
    number = SCHED_SETATTR.get(os.uname().machine)
    if sys.platform == "linux" and number is not None:
        # struct sched_attr: size, policy, flags, nice, priority; runtime, deadline and period in ns.
        fields = (48, os.SCHED_OTHER, 0, os.nice(0), 0, slice_us * 1_000, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, struct.pack("=IIQiIQQQ", *fields), 0)


def queue_up(nice: int) -> None:
    """Ask for a place among other programs, the lower the better; only root is granted one below 0."""
    with suppress(PermissionError):
        os.nice(nice)
    if os.getsid(0) == os.getpid():  # of somebody else's session it is not ours to say
        with suppress(OSError):
            give_session(nice)


def give_session(nice: int) -> None:
    """The same for our session: Linux may share processors out among sessions first (sched_autogroup), and only then
    among the programs of each."""
    for _ in range(TRIES):
        try:
            Path("/proc/self/autogroup").write_text(str(nice))
        except BlockingIOError:  # of those who are not root it hears one in 0.1 s
            time.sleep(PAUSE_S)
        else:
            return


def main(arguments: list[str]) -> None:
    death_signal, supervisor, nice, slice_us, account, *command = arguments
    if int(nice):
        queue_up(int(nice))
    if int(slice_us):
        shorten_slices(int(slice_us))
    if account != "-":
        uid, gid = map(int, account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    follow_supervisor(int(death_signal), int(supervisor))  # a change of uid would clear the setting
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would pass that on
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])

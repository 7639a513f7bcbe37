"""Become a supervised program that the kernel signals when its supervisor dies.

Run as a script, `launcher.py SIGNAL SUPERVISOR_PID NICE ACCOUNT PROGRAM [ARGUMENT ...]`, ACCOUNT being UID:GID or "-".
Doing this between fork and exec instead would run Python code in a copy of a process that may have threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def follow_supervisor(death_signal: int, supervisor: int) -> None:
    """Ask for a signal when the supervisor dies, and stop where it has died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit("the supervisor has gone")


def main(arguments: list[str]) -> None:
    death_signal, supervisor, nice, account, *command = arguments
    os.nice(int(nice))
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

"""Ties a process to the one that started it: however that one ends, this one is killed, so nothing is left behind.

Also a program, for programs that are not ours: `python -I -S leash.py PARENT PROGRAM ARGUMENT…` becomes PROGRAM.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def hold(parent: int | None = None) -> None:
    """From now on the end of the parent, or of the thread of it that started us, is ours too (on Linux).

    Ends at once when `parent` (a pid) is given and already gone.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def name(text: str) -> None:
    """What `ps -o comm` and `top` call this process, at most 15 bytes (on Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_NAME, text.encode()[:15], 0, 0, 0)


def main() -> None:
    # a session of its own: Ctrl-C reaches the supervisor alone, which decides the order in which all stop
    os.setsid()
    hold(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # a program that the supervisor named


if __name__ == "__main__":
    main()

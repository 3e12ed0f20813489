"""What this process asks of the operating system for itself and for every child it starts."""

import resource

OPEN_FILES = 65_536


def allow_many_open_files() -> int:
    """Raises the soft limit of open files towards OPEN_FILES, as far as the hard one lets it; the limit from now on.

    A shell's usual 1,024 is fewer than the connections of a busy afternoon, and children inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft

"""The benchmark of issue and README figures: the same trivial work for us as for every peer, through the real stack.

`python -m bench` starts `flowweaver up` on a fresh data folder, once on SQLite and once on MariaDB, and measures it as
a caller would. Its rule: a figure counts only when the work was done (see `checks`); otherwise the exit status is 1.
"""

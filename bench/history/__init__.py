"""The platform with a long history: a million finished runs are put into a MariaDB of one's own, then it is measured.

`python -m bench.history --runs 1000000` (`make bench-history`). The runs are copies of some that the platform really
did: every row that each of them left, in every table, with other ids, times and numbers (see `patterns`).
"""

"""The engine's own database: the tables, the one primitive that commits decisions, and the reads for people.

tables.py    what is kept
commit.py    `commit`: many runs' changes in one transaction, guarded by each run's version
runs.py      a run as the engine loads it
history.py   what people read: one query each, past the aggregate
"""

"""The engine's rules, pure: no I/O, no clock, no randomness. Time and ids come in with the event.

definition.py   what a workflow version says
plan.py         the same, compiled for running: order, needs, templates
run.py          the aggregate: a run, its jobs and tasks, and how changes are applied to it
events.py       what happens to a run, and what a decision asks of the world
waits.py        what the engine itself waits for, and until when
rerun.py        which tasks of an ended run run again
decide.py       decide(run, event) -> Decision: what each event does
draft.py        what follows from it within the same decision: who is handed out, ended, spread over a list, joined
"""

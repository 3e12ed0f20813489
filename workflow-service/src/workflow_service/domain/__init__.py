"""How a composition of workflow, jobs and tasks becomes a definition. Pure: no I/O, no clock, no randomness."""

"""execution-service: runs, from the accepted request to the terminal state. Begin reading in `domain/decide.py`."""

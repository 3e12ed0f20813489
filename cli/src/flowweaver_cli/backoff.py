"""How long a child that ended waits for its next life.

Who had been ready is back within a second, however often it dies: the others' recovery counts on it. Who never became
ready waits ever longer, up to ten seconds: it would only burn the machine.
"""

_PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_MOST_WHEN_READY_S = 1.0
_LONG_LIFE_S = 10.0


class BackOff:
    """One child's. `failures`: how many short lives in a row."""

    def __init__(self) -> None:
        self.failures = 0

    def after(self, life_s: float, *, was_ready: bool) -> float:
        """Seconds to wait after a life of `life_s` seconds."""
        self.failures = 0 if life_s > _LONG_LIFE_S else self.failures + 1
        pause = _PAUSES_S[min(max(self.failures - 1, 0), len(_PAUSES_S) - 1)]
        return min(pause, _MOST_WHEN_READY_S) if was_ready else pause

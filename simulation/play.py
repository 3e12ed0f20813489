"""One history in one of many processes: found by name there, whatever their main module is."""

import gc
from functools import cache
from typing import NamedTuple

from kit import logs
from simulation.history import PEOPLE, History, Result
from simulation.store import Store


@cache
def _store(url: str) -> Store:
    """The database of this process: making its tables takes longer than a history."""
    logs.configure("simulation", "simulation", level="critical")
    store = Store(url)
    # a third of the time would go into looking for garbage among what was imported and stays
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    return store


class Wish(NamedTuple):
    """Which history to play: its seed, what is broken (simulation/broken.py), on which database (none: in memory), how
    many times as often as usual its storage fails, and how many people start runs."""

    seed: int
    breaking: str = ""
    database: str = ""
    storage: float = 1.0
    people: int = PEOPLE


def play(wish: Wish) -> Result:
    return History(wish.seed, _store(wish.database), wish.breaking, wish.storage, wish.people).play()

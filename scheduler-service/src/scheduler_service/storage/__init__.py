"""Tables and every statement. The table is the only truth about when something fires.

All changes are compare-and-set in one short transaction, so replicas may race and whoever loses writes nothing; a
process killed at any moment leaves either the old state or the new one.
"""

from kit.database import Database
from scheduler_service.storage.firings import Firings
from scheduler_service.storage.schedules import Page, ScheduleNotFound, Schedules, Wanted
from scheduler_service.storage.tables import metadata

__all__ = ["Page", "ScheduleNotFound", "Storage", "Wanted", "metadata"]


class Storage:
    """One database: what people said, and what became of each instant."""

    def __init__(self, database: Database) -> None:
        self.schedules = Schedules(database)
        self.firings = Firings(database)

"""The edge for people: requests become bodies of the domain, what comes back becomes JSON. Nothing is decided here."""

from workflow_service.rest.routes import make

__all__ = ["make"]

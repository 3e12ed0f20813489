"""`python -m identity_service.rotate`: a new signing key, for the running replicas to find. Writes its id.

Exits 3 when there is nothing to rotate, because no identity-service ever started with these settings.
"""

import sys
from pathlib import Path

import sqlalchemy as sa

from identity_service.app import keys
from identity_service.settings import IdentitySettings
from kit import logs
from kit.database import Database

NOTHING = 3


def main() -> None:
    settings = IdentitySettings()
    # the answer is all that this program says
    logs.configure("identity-service", settings.replica, form=settings.log_format, level="error")
    address = settings.database("identity")
    file = sa.make_url(address).database if address.startswith("sqlite") else None
    if file is not None and not Path(file).exists():
        sys.exit(NOTHING)
    database = Database(address)
    try:
        if not keys.public_keys(database)["keys"]:
            sys.exit(NOTHING)
        fresh = keys.rotate(database, keys.open_vault(settings))
    except (sa.exc.OperationalError, sa.exc.ProgrammingError):
        sys.exit(NOTHING)
    finally:
        database.close()
    sys.stdout.write(f"{fresh.kid}\n")


if __name__ == "__main__":
    main()

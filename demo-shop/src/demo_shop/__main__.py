"""`python -m demo_shop`: the shop on loopback.

FLOWWEAVER_HTTP_PORT is its port, FLOWWEAVER_SHOP_DATA a data file other than the packaged one.
"""

import os
from pathlib import Path

import uvicorn

from demo_shop.catalogue import PACKAGED
from demo_shop.site import build_site


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    port = int(os.environ.get("FLOWWEAVER_HTTP_PORT", "8088"))
    site = build_site(Path(os.environ.get("FLOWWEAVER_SHOP_DATA") or PACKAGED))
    # Plain asyncio and h11: a shop of this size gains nothing from uvloop, and starts smaller and sooner without it.
    uvicorn.run(
        site, host="127.0.0.1", port=port, loop="asyncio", http="h11", ws="none", lifespan="off", access_log=False
    )


if __name__ == "__main__":
    main()

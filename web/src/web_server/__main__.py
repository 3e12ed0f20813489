"""`python -m web_server`: the web app's files on loopback, for the gateway in front of it.

Which addresses are the app's own stands in one place, the gateway's routes; whatever reaches this process and is not a
file is answered with the app's page. FLOWWEAVER_HTTP_PORT is the port, FLOWWEAVER_WEB the folder of the built app.
"""

import os
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

BUILT = Path(__file__).resolve().parents[2] / "dist"
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_UNBUILT = "웹 화면이 아직 만들어지지 않았습니다: make web\nThe web app is not built yet: make web\n"


class Files(StaticFiles):
    """Built files: those under `assets/` carry a hash in their names and never change, all others are asked about."""

    async def check_config(self) -> None:
        """The folder may come later than this process."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            # an asset of an older build is gone; a page in its place would be run as a script
            if error.status_code != 404 or path.startswith("assets/"):
                raise
            response = await self._page(scope)
        kept = path.startswith("assets/") and response.status_code in (200, 304)
        response.headers["Cache-Control"] = _FOR_EVER if kept else _ASK_AGAIN
        return response

    async def _page(self, scope: Scope) -> Response:
        try:
            return await super().get_response("index.html", scope)
        except HTTPException:
            return PlainTextResponse(_UNBUILT, 503)


def build_site(folder: Path) -> Starlette:
    """The site of an app that is, or will be, built into `folder`."""

    async def ready(request: Request) -> Response:
        return PlainTextResponse("ok")

    files = Files(directory=folder, check_dir=False)
    return Starlette(routes=[Route("/readyz", ready), Mount("/", files)])


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    folder = Path(os.environ.get("FLOWWEAVER_WEB") or BUILT)
    port = int(os.environ.get("FLOWWEAVER_HTTP_PORT", "8089"))
    # Plain asyncio and h11: files for a few browsers need no more, and start smaller and sooner.
    uvicorn.run(
        build_site(folder),
        host="127.0.0.1",
        port=port,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        access_log=False,
    )


if __name__ == "__main__":
    main()

"""The shop's addresses. It knows nothing of who reads it: browsers and crawlers get the same pages."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from demo_shop import pages
from demo_shop.catalogue import PACKAGED, Catalogue


def build_site(data: Path = PACKAGED) -> Starlette:
    """The site over the data file `data`. Raises ValueError or OSError when the file holds no range of products."""
    catalogue = Catalogue(data)
    catalogue.products()

    async def home(request: Request) -> Response:
        return HTMLResponse(pages.home(list(catalogue.products().values())))

    async def search(request: Request) -> Response:
        query = request.query_params.get("q", "").strip()[:100]
        number = request.query_params.get("page", "1")
        page = int(number) if number.isascii() and number.isdigit() and len(number) < 5 else 0
        if page < 1:
            return HTMLResponse(pages.missing(), 404)
        return HTMLResponse(pages.results(query, catalogue.search(query), page))

    async def product(request: Request) -> Response:
        item = catalogue.products().get(request.path_params["id"])
        return HTMLResponse(pages.product(item)) if item else HTMLResponse(pages.missing(), 404)

    def image(request: Request) -> Response:  # not async: drawing takes a thread, not the loop
        from demo_shop.drawing import draw_card

        item = catalogue.products().get(request.path_params["id"])
        number: int = request.path_params["number"]
        if item is None or not 1 <= number <= len(item.images):
            return HTMLResponse(pages.missing(), 404)
        card = item.images[number - 1]
        return Response(draw_card(card.title, card.lines, item.id), media_type="image/png")

    async def robots(request: Request) -> Response:
        return PlainTextResponse("User-agent: *\nAllow: /\n")

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def missing(request: Request, error: Exception) -> Response:
        return HTMLResponse(pages.missing(), 404)

    return Starlette(
        routes=[
            Route("/", home),
            Route("/search", search),
            Route("/products/{id}", product),
            Route("/images/{id}/{number:int}.png", image),
            Route("/robots.txt", robots),
            Route("/healthz", healthz),
        ],
        exception_handlers={404: missing},
    )

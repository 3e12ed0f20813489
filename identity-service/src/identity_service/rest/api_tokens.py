"""`/v0/api-tokens`: everybody's own, within their own permissions."""

from fastapi import APIRouter, Response

from identity_service import storage
from identity_service.app import api_tokens
from identity_service.rest.shapes import (
    Anyone,
    ApiTokenBody,
    ApiTokens,
    ApiTokenView,
    Context,
    CreatedApiTokenView,
    Cursor,
    Limit,
    api_token_view,
    before_of,
    page_of,
)
from kit.http import IdempotencyKey, StrictRoute

router = APIRouter(prefix="/v0", route_class=StrictRoute)


@router.post("/api-tokens", status_code=201)
def create_api_token(
    body: ApiTokenBody, who: Anyone, identity: Context, response: Response, key: IdempotencyKey = None
) -> CreatedApiTokenView:
    """The answer is the only place where the token's text ever appears."""
    made, text = api_tokens.create(
        identity, who, name=body.name, permissions=body.permissions, days=body.expires_in_days, key=key
    )
    response.headers["Location"] = f"/v0/api-tokens/{made.api_token_id}"
    response.headers["Cache-Control"] = "no-store"
    return CreatedApiTokenView(**api_token_view(made).model_dump(), token=text)


@router.get("/api-tokens")
def list_api_tokens(who: Anyone, identity: Context, limit: Limit = 50, cursor: Cursor = None) -> ApiTokens:
    """The caller's own."""
    with identity.database.read() as connection:
        rows = storage.list_api_tokens(
            connection, who.organization_id, who.user_id, limit=limit + 1, before=before_of(cursor)
        )
    page, after = page_of(rows, limit, lambda token: token.api_token_id)
    return ApiTokens(items=[api_token_view(token) for token in page], next_cursor=after)


@router.get("/api-tokens/{api_token_id}")
def read_api_token(api_token_id: str, who: Anyone, identity: Context) -> ApiTokenView:
    return api_token_view(api_tokens.find(identity, who, api_token_id))


@router.delete("/api-tokens/{api_token_id}", status_code=204)
def revoke_api_token(api_token_id: str, who: Anyone, identity: Context) -> None:
    """One's own, or for an administrator anybody's."""
    api_tokens.revoke(identity, who, api_token_id)

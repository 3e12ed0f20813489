import grpc
import pytest

from kit import errors
from kit.errors import BY_GRPC_CODE, Error, FieldError, Invalid

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Error)]


def test_every_kind_of_error_has_its_own_http_status() -> None:
    statuses = [kind.http for kind in KINDS]
    assert sorted(statuses) == [401, 403, 404, 409, 412, 413, 422, 429, 500, 503]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Error])
def test_the_docstring_draws_the_same_table(kind: type[Error]) -> None:
    assert errors.__doc__ is not None
    [line] = [line for line in errors.__doc__.splitlines() if line.partition(" ")[2].startswith(f"{kind.__name__} ")]
    assert line.endswith(f"{kind.http} · {kind.grpc_code.name}")


def test_every_kind_but_one_comes_back_from_its_grpc_code() -> None:
    back = {kind for kind in KINDS if BY_GRPC_CODE.get(kind.grpc_code) is kind}
    # 401 is about our own token there, TooLarge shares a code with Limited, Error itself is no answer
    assert set(KINDS) - back == {errors.Unauthenticated, errors.TooLarge, Error}
    assert BY_GRPC_CODE[grpc.StatusCode.RESOURCE_EXHAUSTED] is errors.Limited


def test_one_wrong_field_is_a_whole_error() -> None:
    error = Invalid.field("body.name", "string_too_long", max_length=5)
    assert error.code == "invalid"
    assert error.fields == (FieldError("body.name", "string_too_long", (("max_length", 5),)),)


def test_its_text_names_code_parameters_and_fields_for_the_log() -> None:
    error = errors.Conflict("run_finished", fields=(FieldError("body.x", "missing"),), state="SUCCESS")
    assert str(error) == "run_finished state='SUCCESS' body.x:missing"

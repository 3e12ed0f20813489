"""What a start makes sure of, and that a second start, or several at once, change nothing."""

import base64
import secrets
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from identity_service import storage
from identity_service.app import keys, setup
from identity_service.settings import IdentitySettings
from kit.auth import Verifier
from kit.errors import Unauthenticated

SEED = """
[organization]
name = "작은 회사"
[[departments]]
name = "팀"
[permissions]
"user:write" = "x"
"note:read" = "y"
[[roles]]
code = "admin"
name = "관리자"
description = ""
permissions = ["user:write"{more}]
[[users]]
email = "Seeded@example.com"
name = "씨앗"
department = "팀"
roles = ["admin"]
"""


def _keys(world: Any) -> list[str]:
    return [key["kid"] for key in keys.public_keys(world.identity.database)["keys"]]


def test_a_second_start_finds_everything_again(start: Any) -> None:
    first = start()
    token = first.log_in().access_token
    with first.identity.database.read() as connection:
        before = len(storage.list_audit(connection, first.organization_id, limit=200))
    second = start()
    assert second.identity.verifier.verify(token).organization_id == first.organization_id
    with second.identity.database.read() as connection:
        assert len(storage.list_audit(connection, first.organization_id, limit=200)) == before
        assert len(storage.list_members(connection, first.organization_id, limit=9)) == 1
    assert _keys(second) == [second.identity.signer.kid]


def test_starts_at_once_seed_once(start: Any) -> None:
    worlds = [start() for _ in range(2)]
    # undo nothing: both find the same organisation, and a third and fourth racing find it too
    seed = {
        "organization": {"name": "Race"},
        "permissions": {"race:read": "", "user:write": ""},
        "departments": [{"name": "d"}],
        "roles": [{"code": "admin", "name": "a", "description": "", "permissions": ["race:read"]}],
    }
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda world=world: found.append(setup.apply_seed(world.identity, seed)))
        for world in worlds * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    with worlds[0].identity.database.read() as connection:
        assert [role.permissions for role in storage.roles(connection, found[0])] == [("race:read",)]


def test_a_seed_of_ones_own_makes_users_without_passwords_and_updates_its_roles(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "seed.toml"
    file.write_text(SEED.format(more=""))
    world = start(seed_file=file)
    with world.identity.database.read() as connection:
        seeded = storage.list_members(connection, world.organization_id, limit=9, text="씨앗")[0]
    assert seeded.email == "seeded@example.com"
    assert seeded.department is not None
    with pytest.raises(Unauthenticated):
        world.log_in("seeded@example.com", "")
    caller = world.admin()
    file.write_text(SEED.format(more=', "note:read"'))
    again = start(seed_file=file)
    assert again.admin().permissions == {"user:write", "note:read"}
    assert again.admin().authz > caller.authz


def test_several_keys_verify_and_the_newest_signs(start: Any) -> None:
    world = start()
    old = world.log_in().access_token
    other = start(data=world.data.parent / "elsewhere")
    assert _keys(other) == [other.identity.signer.kid, world.identity.signer.kid]
    verifier = Verifier(lambda: keys.public_keys(world.identity.database))
    assert verifier.verify(old).user_id == verifier.verify(other.log_in().access_token).user_id


def test_the_private_key_is_not_readable_in_the_database(start: Any) -> None:
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    world = start(encryption_key=secret)
    with world.identity.database.read() as connection:
        key = storage.signing_keys(connection)[0]
    assert b"PRIVATE" not in base64.b64decode(key.private_key)
    assert "d" not in key.public_jwk
    assert keys.open_vault(world.identity.settings).open(key.private_key, key.kid).startswith(b"-----BEGIN PRIVATE KEY")
    assert not (world.data / "secrets" / "encryption.key").exists()


def test_the_encryption_key_file_is_ours_alone(start: Any) -> None:
    path = start().data / "secrets" / "encryption.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text()) >= 32


@pytest.mark.parametrize("text", ["too short", "!!!", "가" * 31])
def test_a_key_that_is_none_is_refused_without_showing_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as refused:
        IdentitySettings(data=tmp_path, encryption_key=text)
    assert text not in str(refused.value)


def test_a_password_or_address_that_is_none_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as refused:
        IdentitySettings(data=tmp_path, admin_password="hunter2", admin_email="nobody")
    assert "hunter2" not in str(refused.value)
    assert len(refused.value.errors()) == 2


def test_empty_settings_count_as_absent(tmp_path: Path) -> None:
    settings = IdentitySettings(data=tmp_path, admin_password="", admin_email="", encryption_key="")
    assert (settings.admin_password, settings.admin_email, settings.encryption_key) == (None, None, None)


def test_a_generated_password_works_is_kept_for_us_alone_and_goes_when_changed(start: Any) -> None:
    from identity_service.app import members

    world = start(admin_email=None, admin_password=None)
    path = world.data / "secrets" / "admin-password"
    assert path.stat().st_mode & 0o777 == 0o600
    password = path.read_text()
    assert len(password) >= 20
    caller = world.caller(world.log_in("admin@flowweaver.local", password))
    assert start(admin_email=None, admin_password=None).log_in("admin@flowweaver.local", password)
    members.change_self(world.identity, caller, name=None, current_password=password, new_password="my own password")
    assert not path.exists()
    assert start(admin_email=None, admin_password=None).log_in("admin@flowweaver.local", "my own password")
    assert not path.exists()


def test_another_password_in_the_environment_changes_nobodys(start: Any) -> None:
    assert setup.compare_administrator(start().identity)
    later = start(admin_password="a different password")
    assert not setup.compare_administrator(later.identity)
    assert later.log_in()
    with pytest.raises(Unauthenticated):
        later.log_in(password="a different password")
    assert setup.compare_administrator(start(admin_password=None).identity)


def test_an_administrator_named_later_is_added(start: Any) -> None:
    start()
    later = start(admin_email="Second@example.com", admin_password="a different password")
    assert "user:write" in later.caller(later.log_in("second@example.com", "a different password")).permissions
    assert later.log_in()


def test_no_second_administrator_is_made_unasked(start: Any) -> None:
    start()
    later = start(admin_email=None, admin_password=None)
    assert not (later.data / "secrets" / "admin-password").exists()
    with later.identity.database.read() as connection:
        assert len(storage.list_members(connection, later.organization_id, limit=9)) == 1

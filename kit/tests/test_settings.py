import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from kit.settings import ServiceSettings, shared_secret


def test_each_service_has_its_own_file_below_the_data_folder(tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path)
    assert settings.database("identity") == f"sqlite:///{tmp_path / 'databases' / 'identity.db'}"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("mysql+pymysql://root@db:3306", "mysql+pymysql://root@db:3306/flowweaver_workflow"),
        ("mysql+pymysql://root@db:3306/", "mysql+pymysql://root@db:3306/flowweaver_workflow"),
        ("mysql+pymysql://db/?charset=utf8mb4", "mysql+pymysql://db/flowweaver_workflow?charset=utf8mb4"),
    ],
)
def test_each_service_has_its_own_schema_on_a_server(base: str, expected: str) -> None:
    assert ServiceSettings(database_url=base).database("workflow") == expected


def test_the_environment_is_read_with_our_prefix_and_foreign_variables_are_ignored(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "FLOWWEAVER_HTTP_PORT": "8123",
        "FLOWWEAVER_LANGUAGE": "en",
        # compose files pass on variables that nobody set
        "FLOWWEAVER_TEST_TASKS": "",
        "FLOWWEAVER_SOMETHING_ELSE": "x",
        "HTTP_PORT": "1",
    }
    script = "from kit.settings import ServiceSettings as S; s = S(); print(s.http_port, s.language)"
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert printed.split() == ["8123", "en"]


@pytest.mark.parametrize("wrong", [{"http_port": 70_000}, {"language": "fr"}, {"drain_s": -1}, {"log_level": "loud"}])
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(**wrong)  # type: ignore[arg-type]


def test_the_service_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path)
    secret = settings.service_secret()
    path = tmp_path / "secrets" / "service.key"
    assert len(secret) >= 48
    assert settings.service_secret() == secret == path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_secret_file_that_is_named_is_used(tmp_path: Path) -> None:
    named = tmp_path / "given"
    named.write_text("from outside\n")
    assert ServiceSettings(data=tmp_path, service_secret_file=named).service_secret() == "from outside"


def test_the_key_of_secrets_at_rest_is_the_one_given_or_made_once(tmp_path: Path) -> None:
    given = "0123456789abcdef" * 2
    assert ServiceSettings(data=tmp_path, encryption_key=given).vault_secret() == given  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    made = ServiceSettings(data=tmp_path, encryption_key="").vault_secret()  # type: ignore[arg-type]
    assert made == ServiceSettings(data=tmp_path).vault_secret()
    assert (tmp_path / "secrets" / "encryption.key").read_text() == made


def test_a_key_that_is_too_short_is_refused_without_being_shown() -> None:
    with pytest.raises(ValidationError) as refused:
        ServiceSettings(encryption_key="short-and-secret")  # type: ignore[arg-type]
    assert "at least 32 characters" in str(refused.value)
    assert "short-and-secret" not in str(refused.value)


def test_processes_that_start_together_agree_on_a_secret(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from kit.settings import shared_secret; print('ready', flush=True);"
        "sys.stdin.readline(); print(shared_secret(Path(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "s" / "key")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    read = [process.communicate("go\n", timeout=30)[0] for process in processes]
    assert len(set(read)) == 1
    assert read[0].strip() == shared_secret(tmp_path / "s" / "key")


def test_the_loser_of_a_race_takes_the_winners_secret(tmp_path: Path) -> None:
    path = tmp_path / "key"

    def slower_than_another() -> str:
        path.write_text("the winner's")
        return "the loser's"

    assert shared_secret(path, slower_than_another) == "the winner's"
    assert list(tmp_path.iterdir()) == [path]

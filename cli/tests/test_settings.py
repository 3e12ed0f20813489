"""What the environment may say to the program."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from flowweaver_cli.settings import Settings, default_data, default_gateway, not_on_sqlite, parse_replicas


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FLOWWEAVER_{name.upper()}", raising=False)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", {}),
        ("execution=2,worker=3", {"execution": 2, "worker": 3}),
        (" worker = 2 , ", {"worker": 2}),
        ("worker-service=4", {"worker": 4}),
    ],
)
def test_replicas_are_counts_per_service(text: str, counts: dict[str, int]) -> None:
    assert parse_replicas(text) == counts


@pytest.mark.parametrize(
    "text", ["worker", "worker=0", "worker=65", "worker=-1", "nats=2", "gateway=2", "worker=2;x=1"]
)
def test_other_replicas_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="="):
        parse_replicas(text)


def test_sqlite_takes_several_workers_and_one_of_everything_else() -> None:
    assert not_on_sqlite({"worker": 9, "execution": 1}) == []
    assert not_on_sqlite({"worker": 2, "execution": 2, "identity": 3}) == ["execution", "identity"]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWWEAVER_PORT", "9100")
    monkeypatch.setenv("FLOWWEAVER_REPLICAS", "worker=2")
    monkeypatch.setenv("FLOWWEAVER_DATABASE_URL", "")
    found = Settings()
    assert (found.port, found.port_is_chosen, found.replicas, found.sqlite) == (9100, True, {"worker": 2}, True)


def test_nobody_chose_the_default_port() -> None:
    assert (Settings().port, Settings().port_is_chosen) == (9000, False)
    # 0: any
    assert Settings(port=0).port_is_chosen is False


def test_data_lies_in_the_users_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data() == tmp_path / "flowweaver"
    assert Settings().data == tmp_path / "flowweaver"
    assert Settings(data=tmp_path / "other").data == tmp_path / "other"


def test_the_gateways_files_are_those_of_the_checkout() -> None:
    assert (default_gateway() / "dynamic" / "routes.yml").is_file()


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValidationError, match="FLOWWEAVER_TLS_KEY"):
        Settings(tls_cert=Path("cert.pem"))


def test_a_refused_value_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(admin_password=["hunter2"])  # type: ignore[arg-type]
    assert "hunter2" not in str(refused.value)

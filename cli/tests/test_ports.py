"""Ports: the usual one, another when it is taken, and never the same twice."""

import socket
from pathlib import Path

import pytest

from flowweaver_cli.ports import Ports, PortTaken, is_free


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_wanted_port_is_taken_when_it_is_free(tmp_path: Path) -> None:
    wanted = free_port()
    assert Ports(tmp_path).take(wanted) == wanted


def test_another_port_is_taken_when_somebody_listens_on_the_wanted_one(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        wanted = int(other.getsockname()[1])
        assert not is_free(wanted)
        found = Ports(tmp_path).take(wanted)
        assert found != wanted
        assert is_free(found)


def test_a_port_that_must_be_that_one_is_refused_when_it_is_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortTaken):
            Ports(tmp_path).take_exactly(int(other.getsockname()[1]))


def test_two_platforms_never_get_the_same_port_though_nobody_listens_yet(tmp_path: Path) -> None:
    wanted = free_port()
    first, second = Ports(tmp_path), Ports(tmp_path)
    assert first.take(wanted) == wanted
    assert second.take(wanted) != wanted
    with pytest.raises(PortTaken):
        second.take_exactly(wanted)


def test_a_port_given_back_can_be_taken_again(tmp_path: Path) -> None:
    wanted = free_port()
    first, second = Ports(tmp_path), Ports(tmp_path)
    first.take(wanted)
    first.give_back(wanted)
    first.give_back(wanted)
    assert second.take_exactly(wanted) == wanted


def test_a_folder_that_somebody_else_prepared_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError):
        Ports(tmp_path / "link")

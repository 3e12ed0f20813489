"""Writes docs/configuration.md and .env.example from the settings classes (`make docs`); a test holds them."""

import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from kit.settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[1]

_HEAD = """# Configuration

Everything is set by environment variables; an absent one has its default. `make docs` writes this page and
[.env.example](../.env.example) from the settings classes.

The supervisor (`flowweaver up`, `make demo`) hands its own environment on to what it starts, and gives each process the
folder, the ports, the broker's and the inner door's address itself.
"""

_ENV_HEAD = """# Every setting of FlowWeaver with its default, written from the settings classes by `make docs`.
# Copy to .env and take the mark away from what you change: docs/configuration.md tells more.
"""


@dataclass(frozen=True)
class Setting:
    """One variable, as people read it."""

    variable: str
    kind: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Section:
    title: str
    about: str
    settings: tuple[Setting, ...]


_SECTIONS = (
    ("The supervisor", "What `flowweaver` reads itself.", "flowweaver_cli.settings"),
    ("Every service", "", "kit.settings"),
    ("identity-service", "", "identity_service.settings"),
    ("workflow-service", "", "workflow_service.settings"),
    ("execution-service", "", "execution_service.settings"),
    ("scheduler-service", "", "scheduler_service.settings"),
    ("worker-service", "", "worker_service.settings"),
)

_SHOP = Section(
    "demo-shop",
    "The shop that the sample crawls has no settings class; it reads this beside `FLOWWEAVER_HTTP_PORT`.",
    (
        Setting(
            "FLOWWEAVER_SHOP_DATA", "path", "", "JSON file with the shop's products; those it brings along when absent."
        ),
    ),
)

_WEB = Section(
    "web",
    "What serves the web app has no settings class; it reads this beside `FLOWWEAVER_HTTP_PORT`.",
    (Setting("FLOWWEAVER_WEB", "path", "", "Folder of the built web app; `web/dist` of the sources when absent."),),
)


def sections() -> Iterator[Section]:
    """Supervisor, what services share, then each service with what it adds; a variable is told once."""
    seen: set[Setting] = set()
    for title, about, module in _SECTIONS:
        settings = list(_of(_settings_class(module)))
        if known := [f"`{setting.variable}`" for setting in settings if setting in seen]:
            about = f"Also {', '.join(known)}, as above."
        yield Section(title, about, tuple(setting for setting in settings if setting not in seen))
        seen.update(settings)
    yield _SHOP
    yield _WEB


def _settings_class(module: str) -> type[BaseSettings]:
    """The one class of settings that a module defines."""
    found = import_module(module)
    [settings] = [
        item
        for _, item in inspect.getmembers(found, inspect.isclass)
        if issubclass(item, BaseSettings) and item.__module__ == module
    ]
    return settings


def _of(settings: type[BaseSettings]) -> Iterator[Setting]:
    prefix = str(settings.model_config["env_prefix"])
    own = {name: field for name, field in settings.model_fields.items() if _is_own(settings, name, field)}
    for name, field in own.items():
        if not field.description:
            raise ValueError(f"{settings.__module__}: the setting {name!r} has no description")
        yield Setting(f"{prefix}{name}".upper(), _kind(field), _default(field), " ".join(field.description.split()))


def _is_own(settings: type[BaseSettings], name: str, field: FieldInfo) -> bool:
    if settings is ServiceSettings or not issubclass(settings, ServiceSettings):
        return True
    inherited = ServiceSettings.model_fields.get(name)
    return inherited is None or (inherited.description, inherited.default) != (field.description, field.default)


_NAMES: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`1` or `0`",
    Path: "path",
    SecretStr: "secret text",
    dict: "pairs",
}


def _kind(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        [annotation] = [item for item in get_args(annotation) if item is not type(None)]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    name = _NAMES[get_origin(annotation) or annotation]
    bounds = {
        sign: getattr(item, key)
        for item in field.metadata
        for key, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if getattr(item, key, None) is not None
    }
    if set(bounds) == {"≥", "≤"}:
        return f"{name}, {bounds['≥']}–{bounds['≤']}"
    return ", ".join([name, *(f"{sign} {bound}" for sign, bound in bounds.items())])


def _default(field: FieldInfo) -> str:
    """As it would be written in an environment; empty when absent or when it depends on the machine."""
    if field.default_factory is not None or field.default is None:
        return ""
    if isinstance(field.default, bool):
        return str(int(field.default))
    if isinstance(field.default, float):
        return f"{field.default:g}"
    return str(field.default)


def configuration() -> str:
    """The page."""
    parts = [_HEAD]
    for section in sections():
        about = f"{section.about}\n\n" if section.about else ""
        rows = "\n".join(
            f"| `{setting.variable}` | {setting.kind} | {f'`{setting.default}`' if setting.default else '–'} "
            f"| {setting.meaning.replace('|', '&#124;')} |"
            for setting in section.settings
        )
        table = f"| variable | type | default | meaning |\n|---|---|---|---|\n{rows}\n"
        parts.append(f"## {section.title}\n{about}{table}")
    return "\n".join(parts)


def env_example() -> str:
    """The file, each variable once."""
    parts, seen = [_ENV_HEAD], set()
    for section in sections():
        lines = [f"# --- {section.title}"]
        for setting in section.settings:
            if setting.variable not in seen:
                seen.add(setting.variable)
                lines += [f"# {setting.meaning}", f"#{setting.variable}={_quoted(setting.default)}"]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value


def outputs() -> dict[Path, str]:
    """What each generated file holds."""
    return {ROOT / "docs" / "configuration.md": configuration(), ROOT / ".env.example": env_example()}


if __name__ == "__main__":
    for path, text in outputs().items():
        path.write_text(text, encoding="utf-8")

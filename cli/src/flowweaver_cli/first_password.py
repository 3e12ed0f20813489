"""The first administrator's generated password.

identity-service keeps it in a file, whoever starts the platform first is told it once, and no log has it.
"""

from rich.console import Console

from flowweaver_cli.settings import Settings
from kit.messages import text


class FirstPassword:
    """Made before the platform starts, so that it knows which password is new."""

    def __init__(self, settings: Settings) -> None:
        self._email = settings.administrator
        self.file = settings.data.resolve() / "secrets" / "admin-password"
        self._is_old = self.file.exists()

    def read(self) -> str:
        """Raises OSError when there is none: it was given, or changed since."""
        return self.file.read_text(encoding="utf-8").strip()

    def tell_if_new(self, console: Console) -> None:
        if not self._is_old and self.file.exists():
            told = text("first_administrator", email=self._email, password=self.read(), path=self.file)
            console.print(told, style="bold", markup=False)

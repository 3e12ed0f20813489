"""A virtual environment for tests that install packages of task types: the one that runs them, and more."""

import subprocess
import sys
import venv
from pathlib import Path


class Environment:
    """Above the environment of the tests: what is installed there is here too, and not the other way round."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        [site] = folder.glob("lib/python*/site-packages")
        below = [path for path in sys.path if path.endswith("site-packages")]
        (site / "below.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in below))
        for program in ("uv", "nats-server", "traefik"):
            found = Path(sys.executable).with_name(program)
            if found.exists():
                (folder / "bin" / program).symlink_to(found)
        self.flowweaver = folder / "bin" / "flowweaver"
        self.flowweaver.write_text(f'#!/bin/sh\nexec {self.python} -m flowweaver_cli "$@"\n')
        self.flowweaver.chmod(0o755)

    def install(self, *packages: Path) -> None:
        """Builds and installs them really, without a network."""
        command = [self.folder / "bin" / "uv", "pip", "install", "--python", self.python, "--offline", "--no-cache"]
        command += ["--no-build-isolation", "--no-deps", *packages]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    def run(self, *arguments: str, cwd: Path) -> str:
        """What its Python printed."""
        done = subprocess.run(
            [self.python, *arguments], cwd=cwd, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

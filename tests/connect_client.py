"""Names of packages -> a Python environment of these and what they require, and nothing else; no Java."""

from __future__ import annotations

import subprocess
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


class Client:
    """In `folder`, with this package beside the others, which are links to those installed here."""

    def __init__(self, folder: Path, *packages: str) -> None:
        venv.create(folder, symlinks=True, with_pip=False)
        self.folder = folder
        (site,) = folder.glob("lib/python*/site-packages")
        for package in required(packages):
            for name in top_levels(package):
                if not (site / name).exists():  # as google, of which several have a part
                    (site / name).symlink_to(Path(str(package.locate_file(name))))
        (site / "blip_udfs").symlink_to(ROOT / "blip_udfs")

    def run(self, code: str, *words: str) -> str:
        """What the code prints, run where no other program is found."""
        nothing = {"PATH": str(self.folder / "bin"), "HOME": str(self.folder)}
        command = [str(self.folder / "bin" / "python"), "-c", code, *words]
        done = subprocess.run(command, env=nothing, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def required(packages: tuple[str, ...]) -> list[Distribution]:
    """Those of `packages`, and of all that they require here."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(each) for each in packages]
    while waiting:
        wanted = waiting.pop()
        package = found[wanted.name.lower()] = distribution(wanted.name)
        for each in map(Requirement, package.requires or ()):
            extras = wanted.extras or {""}
            needed = each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
            if needed and each.name.lower() not in found:
                waiting.append(each)
    return list(found.values())


def top_levels(package: Distribution) -> set[str]:
    parts = {file.parts[0] for file in package.files or ()}
    return {name for name in parts if name not in ("..", "__pycache__")}

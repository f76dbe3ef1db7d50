"""mergekit 0.1.5, the peer: whole in an environment of its own, or laid over the project's.

The benchmark times the first. Parity tests run the second, which installs in a second because
torch, transformers and all else come from the project's environment; both write the same bytes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "mergekit"
MERGEKIT = "mergekit==0.1.5"
ENVIRONMENT = FOLDER / MERGEKIT.replace("==", "-")
OVERLAY = FOLDER / f"{ENVIRONMENT.name}-overlay"
ADDED = ("peft==0.21.2",)
"""What mergekit imports and the project's environment may lack; versions as pip resolved them."""


def main() -> None:
    """Install one or the other, if it is not there, and print its folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("environment", "overlay"))
    print(environment() if parser.parse_args().kind == "environment" else overlay())


def environment() -> Path:
    """Return the folder of mergekit's own virtual environment; a minute and 1.6 GB to make.

    Its dependencies are mergekit's, at the versions of the project's constraints where these name
    one: both sides of a benchmark then run on one version of torch.
    """
    if not (ENVIRONMENT / "installed").exists():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        run(sys.executable, "-m", "venv", str(ENVIRONMENT))
        constraints = str(ROOT / "envs" / "constraints.txt")
        pip(ENVIRONMENT / "bin" / "python", "--constraint", constraints, MERGEKIT)
        (ENVIRONMENT / "installed").touch()
    return ENVIRONMENT


def overlay() -> Path:
    """Return a folder of mergekit alone, to be put on the path of the project's Python."""
    if not OVERLAY.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            target = Path(folder) / OVERLAY.name
            pip(Path(sys.executable), "--no-deps", "--target", str(target), MERGEKIT, *ADDED)
            target.rename(OVERLAY)
    return OVERLAY


def overlay_variables() -> Mapping[str, str]:
    """Return the environment variables under which the project's Python imports mergekit."""
    return {**os.environ, "PYTHONPATH": str(OVERLAY), "HF_HUB_OFFLINE": "1"}


def pip(python: Path, *arguments: str) -> None:
    """Install packages quietly."""
    run(str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *arguments)


def run(*command: str) -> None:
    """Run a command; end the program in words if it fails."""
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(f"failed: {' '.join(command)}\n{finished.stderr}")


if __name__ == "__main__":
    main()

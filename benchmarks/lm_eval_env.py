"""lm-evaluation-harness 0.4.13, the peer of token losses, laid over the project's environment.

It installs without its dependencies: the import path of its `HFLM` needs nothing that the project's
environment lacks. What only its tasks and metrics import is left out.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.mergekit_env import ROOT, pip

FOLDER = ROOT / "build" / "lm-eval"
LM_EVAL = "lm_eval==0.4.13"
OVERLAY = FOLDER / f"{LM_EVAL.replace('==', '-')}-overlay"


def main() -> None:
    """Install it, if it is not there, and print its folder."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(overlay())


def overlay() -> Path:
    """Return a folder of lm-evaluation-harness alone, to be put on the path of Python; 70 MB."""
    if not OVERLAY.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            target = Path(folder) / OVERLAY.name
            pip(Path(sys.executable), "--no-deps", "--target", str(target), LM_EVAL)
            target.rename(OVERLAY)
    return OVERLAY


def overlay_variables() -> Mapping[str, str]:
    """Return the environment variables under which the project's Python imports `lm_eval`."""
    return {**os.environ, "PYTHONPATH": str(OVERLAY), "HF_HUB_OFFLINE": "1"}


if __name__ == "__main__":
    main()

"""`python -m tests.experts.build`: what DeepSpeed compiles, before tests run side by side."""

from pathlib import Path

from mergelaw.config.launch import read_launch_file
from mergelaw.experts.launch import build_operators, environment

LAUNCH = Path(__file__).parents[2] / "workflow" / "launch" / "zero3_cpu.yaml"

if __name__ == "__main__":
    file = read_launch_file(LAUNCH)
    with environment(file):
        build_operators(file)

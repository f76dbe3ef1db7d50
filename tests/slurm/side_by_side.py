"""Tests that wait for Slurm side by side, because most of a test is waiting."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.heads import CHUNK, LONG, Head, Study


@dataclass
class Scene:
    """What a test works with.

    Attributes
    ----------
    cluster : Cluster
    prepared : Study
        A trained study with its chunk made; not to be changed.
    folder : Path
        The test's own.
    """

    cluster: Cluster
    prepared: Study
    folder: Path
    heads: list[Head] = field(default_factory=list)

    @property
    def whole(self) -> bytes:
        """The chunk's table of an undisturbed local run."""
        return self.prepared.chunk.read_bytes()

    def arm(self, name: str) -> Study:
        """A copy of the trained study without the chunk."""
        study = self.prepared.copy(self.folder / name)
        study.chunk.unlink()
        study.chunk.with_suffix(".cost.json").unlink()
        return study

    def start(self, study: Study, *arguments: str, **options: Any) -> Head:
        """Start a head for the chunk, ended with the tests at the latest."""
        self.heads.append(study.head_of(LONG, CHUNK, *arguments, **options))
        return self.heads[-1]


BYTES = 3 * 2**30
"""Memory of one test: two heads, and for each an outer and an inner Snakemake and a job."""

Body = Callable[[Scene], None]


class Together:
    """Bodies of tests; the first test that is run starts all that are selected."""

    def __init__(self) -> None:
        self.bodies: dict[str, Body] = {}

    def __call__(self, body: Body) -> Callable[[Mapping[str, "Future[None]"]], None]:
        """Make a test of a body."""
        name = body.__name__
        self.bodies[name] = body

        def test(running: Mapping[str, "Future[None]"]) -> None:
            running[name].result()

        test.__name__ = name
        return test

    def start(
        self, request: pytest.FixtureRequest, cluster: Cluster, prepared: Study, folder: Path
    ) -> Iterator[Mapping[str, "Future[None]"]]:
        """Run the bodies of the selected tests; whatever they started ends with this."""
        names = {item.name for item in request.session.items} & set(self.bodies)
        scenes = {name: Scene(cluster, prepared, folder / name) for name in sorted(names)}
        at_once = 1 + psutil.virtual_memory().available // BYTES
        with ThreadPoolExecutor(at_once) as pool:
            try:
                yield {
                    name: pool.submit(self.bodies[name], scene) for name, scene in scenes.items()
                }
            finally:
                for scene in scenes.values():
                    for head in scene.heads:
                        head.end()


together = Together()

"""The results tree: one place that knows where every file of a study lies."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mergelaw.config import Study
from mergelaw.design import BASE
from mergelaw.hub import is_hub_name, resolve


@dataclass(frozen=True)
class StudyPaths:
    """Paths of one study, below `root`."""

    root: Path

    @classmethod
    def of(cls, study: Study) -> "StudyPaths":
        """Return the tree of a study: `results/{name}`, and `seed{n}` below it for a seed n > 0."""
        root = Path("results") / study.name
        return cls(root / f"seed{study.seed}" if study.seed else root)

    @property
    def config(self) -> Path:
        """The resolved config that every job reads."""
        return self.root / "study.json"

    @property
    def subsets(self) -> Path:
        """The subset list."""
        return self.root / "design" / "subsets.parquet"

    def items(self, domain: str) -> Path:
        """Return the items of a domain, with their split."""
        return self.root / "data" / "items" / f"{domain}.parquet"

    @property
    def tokenizer(self) -> Path:
        """The study's tokenizer."""
        return self.root / "data" / "tokenizer"

    @property
    def pretraining(self) -> Path:
        """Tokens that ladder bases are pre-trained on."""
        return self.root / "data" / "pretraining.safetensors"

    def shard(self, domain: str) -> Path:
        """Return the prepared evaluation shard of a domain."""
        return self.root / "data" / "shards" / f"{domain}.safetensors"

    def trained(self, size: str, expert: str) -> Path:
        """Return the folder of a checkpoint that the study trains (`base` or an expert)."""
        return self.root / "experts" / size / expert

    def training_log(self, size: str, expert: str) -> Path:
        """Return the log of a training: a row per step."""
        return self.trained(size, expert) / "training.parquet"

    def training_progress(self, size: str, expert: str) -> Path:
        """Return the folder of what a training goes on from after a kill; no output of it."""
        return self.root / "experts" / size / f"{expert}.progress"

    def snapshot(self, size: str, expert: str, step: int) -> Path:
        """Return the expert as it was after so many steps of its training."""
        return self.trained(size, expert) / f"step-{step}"

    def training_logs(self, size: str) -> Path:
        """Return the logs of all trainings of a size, as one table."""
        return self.root / "experts" / size / "training.parquet"

    def multitask_losses(self, size: str) -> Path:
        """Return the losses of the multitask baseline on every domain."""
        return self.root / "experts" / size / "multitask.parquet"

    def snapshot_losses(self, size: str) -> Path:
        """Return the losses of experts along their training, each on its own domain."""
        return self.root / "experts" / size / "snapshots.parquet"

    @property
    def shard_contents(self) -> Path:
        """What the evaluation shards hold and what was cut off."""
        return self.root / "data" / "shards" / "contents.parquet"

    def chunk(self, size: str, method: str, index: int) -> Path:
        """Return the losses of one chunk of subsets."""
        return self.root / "sweep" / size / method / f"{index}.parquet"

    def chunk_cost(self, size: str, method: str, index: int) -> Path:
        """Return the record of what a chunk's job cost."""
        return self.root / "sweep" / size / method / f"{index}.cost.json"

    def chunk_progress(self, size: str, method: str, index: int) -> Path:
        """Return what a chunk's job has scored so far; no output of it."""
        return self.root / "sweep" / size / method / f"{index}.progress"

    def scales(self, size: str) -> Path:
        """Return the losses of merges at several scales."""
        return self.root / "sweep" / size / "scales.parquet"

    def best_scales(self, size: str) -> Path:
        """Return the losses of merges at the best scales that the laws give."""
        return self.root / "sweep" / size / "best_scales.parquet"

    def orders(self, size: str) -> Path:
        """Return the losses of merges in several orders and under several mask seeds."""
        return self.root / "sweep" / size / "orders.parquet"

    @property
    def losses(self) -> Path:
        """All chunks' losses, checked to be complete."""
        return self.root / "sweep" / "losses.parquet"

    def part_losses(self, part: str) -> Path:
        """Return the losses of a part: one size, or one method at one size."""
        return self.root / "sweep" / part / "losses.parquet"

    def merged(self, size: str, method: str, cell: str) -> Path:
        """Return the folder of a cell's checkpoint.

        Parameters
        ----------
        method : str
            The method's label.
        cell : str
            The cell's name: its experts, sorted and joined by '+', or 'base'; see `mergelaw.cells`.
        """
        return self.root / "merge" / size / method / cell

    def merged_cost(self, size: str, method: str, cell: str) -> Path:
        """Return the record of what a cell's merge cost, beside its folder."""
        return self.root / "merge" / size / method / f"{cell}.cost.json"

    def merged_losses(self, size: str, method: str, cell: str) -> Path:
        """Return the losses of a cell's checkpoint, scored from disk."""
        return self.root / "merge" / size / method / f"{cell}.parquet"

    def task_vectors(self, size: str) -> Path:
        """Return the statistics of the whole pool's task vectors under each method."""
        return self.root / "merge" / size / "task_vectors.parquet"

    def merged_tensors(self, size: str) -> Path:
        """Return the statistics of the whole pool's merge with each method."""
        return self.root / "merge" / size / "merged_tensors.parquet"

    def task_vectors_cost(self, size: str) -> Path:
        """Return the record of what these statistics cost."""
        return self.root / "merge" / size / "task_vectors.cost.json"

    @property
    def laws(self) -> Path:
        """Folder of curves, fits and analyses."""
        return self.root / "laws"

    def law_table(self, name: str) -> Path:
        """Return a table of the laws stage."""
        return self.laws / f"{name}.parquet"

    def part_curves(self, part: str) -> Path:
        """Return the curves of a part."""
        return self.laws / "curves" / f"{part}.parquet"

    def theory_table(self, name: str) -> Path:
        """Return a table of the theory stage about the whole study."""
        return self.root / "theory" / f"{name}.parquet"

    def derivatives(self, size: str) -> Path:
        """Return the derivatives at a size's full merges."""
        return self.root / "theory" / size / "derivatives.parquet"

    def updates(self, size: str) -> Path:
        """Return how far nonlinear methods are from a mean of effective updates."""
        return self.root / "theory" / size / "updates.parquet"

    def weights(self, size: str) -> Path:
        """Return the best weights found, and what they are compared with."""
        return self.root / "theory" / size / "weights.parquet"

    @property
    def law_file(self) -> Path:
        """Return the study's laws with their errors and costs, as planning reads them."""
        return self.root / "planning" / "laws.json"

    @property
    def planner(self) -> Path:
        """Return the page that plans from them, one self-contained HTML file."""
        return self.root / "planning" / "planner.html"

    def job_record(self, rule: str, *targets: str) -> Path:
        """Return the record of a job: its state, where it ran, what it spent; no output of it.

        Parameters
        ----------
        rule : str
            Name of its rule.
        *targets : str
            What its wildcards name, in the order of its output's path.
        """
        return self.root / "jobs" / rule / f"{'~'.join(targets) or rule}.json"

    @property
    def figures(self) -> Path:
        """Folder of figures."""
        return self.root / "report" / "figures"

    @property
    def costs(self) -> Path:
        """Return what the study's jobs cost, by stage, size and method."""
        return self.root / "report" / "costs.parquet"

    def page(self, name: str) -> Path:
        """Return a page, one self-contained HTML file: `report`, or `full` with every analysis."""
        return self.root / "report" / f"{name}.html"


def checkpoint_ref(study: Study, paths: StudyPaths, size: str, expert: str) -> str:
    """Return what a checkpoint is called: as the config names it, else the folder of a trained one.

    Parameters
    ----------
    expert : str
        An expert of the pool, `base` or `multitask`.

    Returns
    -------
    str
        A folder, or `org/name[@revision]` of the hub where there is no such folder.
    """
    entry = study.size(size)
    given = entry.base if expert == BASE else entry.experts.get(expert)
    if given is None:
        return str(paths.trained(entry.base_size if expert == BASE else size, expert))
    return given if is_hub_name(given) else str(Path(given).expanduser())


def checkpoint_folder(study: Study, paths: StudyPaths, size: str, expert: str) -> Path:
    """Return the folder of a checkpoint; that of a hub name lies in the local cache.

    Raises
    ------
    CheckpointError
        If it is a hub name that is not cached; nothing is fetched.
    """
    ref = checkpoint_ref(study, paths, size, expert)
    return resolve(ref) if is_hub_name(ref) else Path(ref)


def checkpoint_inputs(
    study: Study, paths: StudyPaths, size: str, experts: Iterable[str]
) -> list[Path]:
    """Return the folders among some checkpoints: what a job waits for, hub names left out."""
    refs = [checkpoint_ref(study, paths, size, expert) for expert in experts]
    return [Path(ref) for ref in refs if not is_hub_name(ref)]

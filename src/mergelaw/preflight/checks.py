"""The checks of a merge, in the order in which pre-flight makes them: each fills the findings."""

from collections.abc import Mapping

from mergelaw.checkpoints.headers import MERGED_DTYPES
from mergelaw.checkpoints.lora import LoraAdapter
from mergelaw.checkpoints.store import TensorStore
from mergelaw.design import BASE
from mergelaw.errors import CheckpointError
from mergelaw.preflight.agreement import Entries, check_adapter, check_quantised, check_tensors
from mergelaw.preflight.findings import Findings, counted, some
from mergelaw.preflight.heads import Redundant, Tie, note_redundant, redundant_heads
from mergelaw.preflight.lineage import Parent, check_lineage, parent_of, parent_of_siblings
from mergelaw.preflight.members import Member, Opened, owner
from mergelaw.preflight.settings import check_settings, quantisation, vocab_size
from mergelaw.preflight.vocabulary import Tokenizer, check_tokenizer


def check_base(findings: Findings, base: Member | None) -> bool:
    """Check the base by itself; say whether experts' tensors can be compared with its."""
    if base is None or base.store is None:
        return False
    if base.config is None:
        findings.note("the base has no config.json that the experts' can be compared with")
    if not Tokenizer(base.origin.folder).files:
        findings.note("the base has no tokenizer, and neither will the merged model")
    method = quantisation(base.config or {})
    if check_quantised(findings, owner(BASE), base.store.entries, method):
        return False
    copied = [n for n, entry in base.store.entries.items() if entry.dtype not in MERGED_DTYPES]
    if copied:
        types = sorted({base.store.entries[name].dtype for name in copied})
        findings.note(
            f"the base has {counted(len(copied), 'tensor')} of type {' and '.join(types)}, which "
            f"cannot be added and are taken over as they are: {some(sorted(copied))}"
        )
    if any(entry.dtype == "F64" for entry in base.store.entries.values()):
        findings.note("the base stores F64; sums are made in F32, to 7 digits")
    return True


def tied_copies(
    findings: Findings, base: Member | None, experts: Mapping[str, Member]
) -> tuple[Redundant, ...]:
    """Return the stored copies of tied embeddings in base and experts, and note them."""
    if base is None or base.store is None:
        return ()
    ties = {
        name: Tie(member.store, member.tied)
        for name, member in experts.items()
        if member.store is not None
    }
    found = redundant_heads(findings, Tie(base.store, base.tied), ties)
    note_redundant(findings, found)
    return found


def check_weights(
    findings: Findings, base: Member | None, expert: Member, redundant: tuple[Redundant, ...]
) -> Opened | None:
    """Compare an expert's tensors with the base's; return it, an adapter under the base's names."""
    method = quantisation(expert.config or {})
    store = expert.store
    refused = store is not None and check_quantised(
        findings, owner(expert.name), store.entries, method
    )
    if base is None or base.store is None or refused or expert.opened is None:
        return expert.opened
    theirs = merged_entries(base.store, BASE, redundant)
    if isinstance(expert.opened, LoraAdapter):
        return check_adapter(findings, expert.name, expert.opened, theirs, base.tied)
    mine = merged_entries(expert.opened, expert.name, redundant)
    check_tensors(findings, expert.name, theirs, mine, vocab_size(base.config))
    return expert.opened


def check_functions(findings: Findings, base: Member | None, experts: Mapping[str, Member]) -> None:
    """Compare what config.json says; an adapter has the base's."""
    for name, expert in experts.items():
        if expert.store is None or base is None or base.config is None:
            continue
        if expert.config is None:
            findings.note(f"{owner(name)} has no config.json to compare with the base's")
        else:
            check_settings(findings, name, base.config, expert.config)


def check_words(
    findings: Findings, base: Member | None, experts: Mapping[str, Member], stand_in: str | None
) -> None:
    """Compare tokenizers, and what the experts say of their base."""
    if base is None:
        return
    tokenizer = Tokenizer(base.origin.folder)
    try:
        parent = _parent(findings, base, stand_in)
        tokenizer.check()
    except CheckpointError as error:
        findings.problem(f"{owner(BASE)}: {error}")
        return
    for name, expert in experts.items():
        try:
            if parent is not None:
                check_lineage(findings, name, expert.origin, parent)
            mine = Tokenizer(expert.origin.folder)
            check_tokenizer(findings, name, tokenizer, mine, may_lack=expert.store is None)
        except CheckpointError as error:
            findings.problem(f"{owner(name)}: {error}")


def _parent(findings: Findings, base: Member, stand_in: str | None) -> Parent | None:
    if stand_in is None:
        return parent_of(base.origin)
    parent = parent_of_siblings(stand_in, base.origin)
    if parent is None:
        findings.note(
            f"{owner(stand_in)} does not say what it was made from: the others' origins cannot be "
            "compared with it"
        )
    return parent


def merged_entries(store: TensorStore, name: str, redundant: tuple[Redundant, ...]) -> Entries:
    """Return a model's tensors without its stored copies of tied ones."""
    copies = {copy.name for copy in redundant if copy.owner == name}
    return {key: entry for key, entry in store.entries.items() if key not in copies}

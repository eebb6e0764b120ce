"""`evalkit bench score`: whole documents to bits, beside every peer that is installed.

Same weights, same documents, same threads; in every round each program takes its turn, so that a machine that
slows down slows all of them. Nats of every document are compared with ours under the same policy.
"""

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from evalkit.bench.machine import peak_memory_bytes
from evalkit.bench.peers import Contest, Peer, Score, peers_of
from evalkit.bench.products import Product, ProductRecorder, Replay, num_positions
from evalkit.bench.shapes import SHAPE_NAMES, write_shape
from evalkit.corpora.document import Document
from evalkit.corpora.store import Corpus
from evalkit.errors import UsageError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.loading import locate_model
from evalkit.models.prefixes import prefix_under
from evalkit.models.protocol import LoadOptions, TokenModel
from evalkit.scoring.documents import BITS_PER_NAT, DocumentScore, score_documents
from evalkit.scoring.policy import windows

_OURS = "evalkit"
_FLOAT32 = "evalkit in float32"
_PRODUCTS = "matrix products alone"


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """How to measure."""

    num_rounds: int
    device: str
    dtype: str


@dataclasses.dataclass(frozen=True)
class PeerRow:
    """Another program, or our own float32, beside ours."""

    name: str
    policy: str
    bytes_per_s: float
    """Median over the rounds."""
    ratios: tuple[float, ...]
    """Ours over theirs, by wall time, round by round."""
    ratio_median: float
    cpu_ratio_median: float
    """The same by processor time, which other programs on the machine change less."""
    nats_difference: float
    """The largest of a document, relative to its nats."""
    bits_per_byte_difference: float
    """Ours less theirs, over all documents."""
    tolerance: float | None
    """What `nats_difference` may be; None: another precision, of which nothing is asked."""

    @property
    def agrees(self) -> bool:
        """Whether the nats agree to the tolerance, where there is one."""
        return self.tolerance is None or self.nats_difference <= self.tolerance


@dataclasses.dataclass(frozen=True)
class ScoreRow:
    """A model on a corpus."""

    model: str
    corpus: str
    device: str
    dtype: str
    num_threads: int
    num_documents: int
    num_bytes: int
    num_tokens: int
    """Paid for: padding and contexts do not count."""
    tokens_per_s: float
    """Median over the rounds, as the next one."""
    bytes_per_s: float
    peak_memory_bytes: int
    """Of the whole process while ours scores, before any peer is loaded; on a GPU of torch's there."""
    gemm_shares: tuple[float, ...]
    """Time of the model's matrix products alone (`evalkit.bench.products.Replay`) over ours, by rounds."""
    gemm_share: float
    """Their median."""
    num_positions: int
    """Of all windows: tokens that are read, be they paid for or context."""
    padding_waste: float
    """Share of the positions that were computed and are of no window."""
    peers: tuple[PeerRow, ...]
    missing: dict[str, str]
    """Peers that could not run, and why."""


class _Times(NamedTuple):
    wall_s: list[float]
    cpu_s: list[float]


def bench_documents(corpus: Corpus, num_bytes: int) -> list[Document]:
    """The corpus's documents in the order of their digests, as far as each still fits into so many bytes.

    Raises:
        UsageError: none does.
    """
    chosen, left_bytes = [], num_bytes
    for document in sorted(corpus.documents, key=lambda document: document.sha256):
        if 0 < document.num_bytes <= left_bytes:
            chosen.append(document)
            left_bytes -= document.num_bytes
    if not chosen:
        raise UsageError(f"no document of {corpus.name} has {num_bytes:,} bytes or fewer; raise --kilobytes")
    return chosen


def bench_score(
    spec: str, corpus_name: str, documents: Sequence[Document], options: BenchOptions
) -> ScoreRow:
    """Time one model on documents of one corpus, ours and its peers.

    Args:
        spec: of a model with tokens, as `evalkit run` takes it, or one of
            `evalkit.bench.shapes.SHAPE_NAMES`.
        corpus_name: of the corpus.
        documents: of it, see `bench_documents`.
        options: how.

    Raises:
        UsageError: an unknown name.
        ModelError: the model cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="evalkit-bench-") as name:
        folder = Path(name)
        path_spec = spec
        if spec in SHAPE_NAMES:
            path_spec = write_shape(spec, folder / spec, [document.text for document in documents])
        entry, model = _load(path_spec, options, options.dtype)
        reference = model
        if model.identity.dtype != "float32":
            reference = _load(path_spec, options, "float32")[1]
        pass_facts = _first_pass(model, documents)
        measured = _measure(model, Contest(reference, entry, documents, folder), pass_facts, options)
        return dataclasses.replace(measured, model=spec, corpus=corpus_name)


def _load(spec: str, options: BenchOptions, dtype: str) -> tuple[CatalogEntry, TokenModel]:
    located = locate_model(spec, LoadOptions(device=options.device, dtype=dtype))
    model = located.load()
    assert isinstance(model, TokenModel) and located.entry is not None
    return located.entry, model


class _FirstPass(NamedTuple):
    """What is seen of ours alone, before any peer is loaded."""

    products: list[Product]
    num_tokens: int
    peak_bytes: int


def _first_pass(model: TokenModel, documents: Sequence[Document]) -> _FirstPass:
    recorder = ProductRecorder()
    with recorder:
        scores = score_documents(model, documents, "document", num_workers=1)
    device = _device_of(recorder.products)
    peak_bytes = peak_memory_bytes(
        device, lambda: score_documents(model, documents, "document", num_workers=1)
    )
    return _FirstPass(recorder.products, sum(score.num_tokens or 0 for score in scores), peak_bytes)


def _device_of(products: Sequence[Product]) -> torch.device:
    return products[0].weight.device if products else torch.device("cpu")


def _measure(model: TokenModel, contest: Contest, first_pass: _FirstPass, options: BenchOptions) -> ScoreRow:
    documents, reference = contest.documents, contest.model
    peers, missing = peers_of(contest)
    if reference is not model:
        peers.insert(0, Peer(_FLOAT32, "document", None, _scorer(reference, documents, "document")))
        peers = [dataclasses.replace(peer, tolerance=None) for peer in peers]
    nats = {peer.name: peer.score() for peer in peers}  # and warm up
    policies = sorted({"document", *(peer.policy for peer in peers)})
    ours = {policy: _nats(score_documents(model, documents, policy)) for policy in policies}
    contenders: dict[str, Callable[[], object]] = {
        **{_our_name(policy): _scorer(model, documents, policy) for policy in policies},
        **{peer.name: peer.score for peer in peers},
    }
    products = first_pass.products
    if products:
        contenders[_PRODUCTS] = Replay(products).run
    times = _in_turn(contenders, options.num_rounds)
    num_bytes = sum(document.num_bytes for document in documents)
    our_s = statistics.median(times[_OURS].wall_s)
    gemm_shares = _ratios(times[_OURS], times[_PRODUCTS]) if products else (0.0,)
    num_read, num_computed = _num_read(model, documents), num_positions(products)
    return ScoreRow(
        model="",
        corpus="",
        device=str(_device_of(products)),
        dtype=model.identity.dtype,
        num_threads=torch.get_num_threads(),
        num_documents=len(documents),
        num_bytes=num_bytes,
        num_tokens=first_pass.num_tokens,
        tokens_per_s=first_pass.num_tokens / our_s,
        bytes_per_s=num_bytes / our_s,
        peak_memory_bytes=first_pass.peak_bytes,
        gemm_shares=gemm_shares,
        gemm_share=statistics.median(gemm_shares),
        num_positions=num_read,
        padding_waste=1 - num_read / num_computed if num_computed else 0.0,
        peers=tuple(_peer_row(peer, times, ours[peer.policy], nats[peer.name], num_bytes) for peer in peers),
        missing=missing,
    )


def _ratios(ours: _Times, theirs: _Times) -> tuple[float, ...]:
    return tuple(their / our for our, their in zip(ours.wall_s, theirs.wall_s, strict=True))


def _num_read(model: TokenModel, documents: Sequence[Document]) -> int:
    """Positions of all windows under the policy `document`."""
    prefix = prefix_under(model, "document")
    return sum(
        window.num_positions
        for document in documents
        for window in windows(
            "document",
            model.encode(document.text).ids,
            prefix=prefix.ids,
            context_limit=model.context_limit,
            chunk_prefix=prefix.chunk_ids,
        )
    )


def _our_name(policy: str) -> str:
    return _OURS if policy == "document" else f"{_OURS} under policy {policy}"


def _scorer(model: TokenModel, documents: Sequence[Document], policy: str) -> Score:
    return lambda: _nats(score_documents(model, documents, policy))


def _nats(scores: Sequence[DocumentScore]) -> list[float]:
    return [(score.total_bits or 0.0) / BITS_PER_NAT for score in scores]


def _in_turn(contenders: Mapping[str, Callable[[], object]], num_rounds: int) -> dict[str, _Times]:
    times = {name: _Times([], []) for name in contenders}
    for round_number in range(num_rounds):
        # Back and forth, so that none always comes after the same one.
        for name in list(contenders)[:: -1 if round_number % 2 else 1]:
            started_s, started_cpu_s = time.perf_counter(), _cpu_s()
            contenders[name]()
            times[name].wall_s.append(time.perf_counter() - started_s)
            times[name].cpu_s.append(_cpu_s() - started_cpu_s)
    return times


def _peer_row(
    peer: Peer,
    times: dict[str, _Times],
    our_nats: Sequence[float],
    peer_nats: Sequence[float],
    num_bytes: int,
) -> PeerRow:
    ours, theirs = times[_our_name(peer.policy)], times[peer.name]
    ratios = _ratios(ours, theirs)
    cpu_ratios = [their / our for our, their in zip(ours.cpu_s, theirs.cpu_s, strict=True)]
    return PeerRow(
        name=peer.name,
        policy=peer.policy,
        bytes_per_s=num_bytes / statistics.median(theirs.wall_s),
        ratios=ratios,
        ratio_median=statistics.median(ratios),
        cpu_ratio_median=statistics.median(cpu_ratios),
        nats_difference=max(
            abs(our - their) / max(1.0, abs(their)) for our, their in zip(our_nats, peer_nats, strict=True)
        ),
        bits_per_byte_difference=(sum(our_nats) - sum(peer_nats)) * BITS_PER_NAT / num_bytes,
        tolerance=peer.tolerance,
    )


def _cpu_s() -> float:
    """Processor time of this process and of those that it has seen end."""
    return sum(os.times()[:4])

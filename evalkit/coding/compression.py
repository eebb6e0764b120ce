"""Bytes into a compressed file and back, with one model on one machine."""

import hashlib
import importlib.metadata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from evalkit.coding.container import (
    MOST_THREADS,
    Container,
    Header,
    ModelFacts,
    Numerics,
    write_container,
)
from evalkit.coding.lanes import decode_lanes, encode_lanes, numerics_digest
from evalkit.coding.rounds import Layout, segment_lengths
from evalkit.coding.spans import Spans, put_together, take_apart
from evalkit.coding.symbols import Ids
from evalkit.environment import environment
from evalkit.errors import CorpusError, ModelError, ScoringError
from evalkit.files import fits_memory
from evalkit.models.lanes import lane_reader
from evalkit.models.protocol import Model, ModelIdentity
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.version import __version__

_LANE_TOKENS = 4096
_MOST_LANES = 32
_BYTES_PER_TOKEN = 32
"""Its id, as decoded and as read, and its place in the order of a lane's windows."""
_PACKAGES = ("torch", "numpy", "transformers", "tokenizers", "pyrwkv-tokenizer", "constriction")


class Compressed(NamedTuple):
    """A compressed file, and what it took."""

    content: bytes
    num_tokens: int
    num_lanes: int
    num_code_bytes: int
    """Of the content, what stands for tokens."""
    num_stored_bytes: int
    """Of the data, what no tokens stand for."""
    ideal_bits: float
    """What the tokens cost by the model's own distributions."""


def default_num_lanes(num_tokens: int) -> int:
    """Segments that a text is cut into: more are faster, and each begins anew and costs a little."""
    return max(1, min(_MOST_LANES, num_tokens // _LANE_TOKENS))


def compress_bytes(data: bytes, model: Model, *, num_lanes: int | None = None) -> Compressed:
    """Compress any bytes by a model's own distributions.

    Args:
        data: any bytes.
        model: one that is loaded by ``rwkv7``, ``hf``, ``gguf`` or ``llamacpp``.
        num_lanes: segments that are read side by side; None: by the text's length.

    Raises:
        ModelError: the model gives no distributions.
        ScoringError: its logits are not finite, or its context is too short.
    """
    reader = lane_reader(model)
    parts = take_apart(data, reader.model)
    num_tokens = len(parts.ids)
    lengths = segment_lengths(num_tokens, num_lanes or default_num_lanes(num_tokens))
    facts = model_facts(model.identity, reader.model.prefix)
    layout = _layout(lengths, facts, DEFAULT_POLICY)
    with _threads(min(torch.get_num_threads(), MOST_THREADS)):
        code = encode_lanes(reader, layout, _cut(parts.ids, lengths))
        numerics = _numerics(model, numerics_digest(reader, len(lengths)) if num_tokens else "")
    header = Header(
        model=facts,
        numerics=numerics,
        policy=layout.policy,
        num_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        num_tokens=num_tokens,
        num_lanes=len(lengths),
        num_stored_bytes=len(parts.stored),
        sections=(),
    )
    content = write_container(header, parts.spans, parts.stored, code.words)
    return Compressed(content, num_tokens, len(lengths), len(code.words), len(parts.stored), code.ideal_bits)


def decompress_bytes(container: Container, model: Model, name: str) -> bytes:
    """The bytes that were compressed.

    Args:
        container: see `evalkit.coding.container.read_container`.
        model: the same that compressed them; see `check_model`.
        name: the file's, for messages.

    Raises:
        CorpusError: it says that it holds more than fits into memory.
        ModelError: it is another model, or this machine computes other numbers with it.
        ScoringError: the code gives other bytes than were compressed.
    """
    header = container.header
    _check_memory(header, name)
    reader = lane_reader(model)
    check_model(header, model.identity, name)
    if reader.model.prefix != header.model.prefix_ids:
        raise ModelError(
            f"{name} was compressed after ids {header.model.prefix_ids}, not what the model reads"
        )
    with _threads(header.numerics.num_threads):
        lengths = segment_lengths(header.num_tokens, header.num_lanes)
        lanes: list[Ids] = []
        if header.num_tokens:
            _check_numerics(header, numerics_digest(reader, len(lengths)), name)
        try:
            if header.num_tokens:
                lanes = decode_lanes(reader, _layout(lengths, header.model, header.policy), container.words)
            ids = np.concatenate([np.zeros(0, np.int64), *lanes])
            data = put_together(Spans(container.spans, ids, container.stored), reader.model)
        except ValueError as error:
            raise ScoringError(_other_bytes(name, str(error))) from error
    if len(data) != header.num_bytes or hashlib.sha256(data).hexdigest() != header.sha256:
        raise ScoringError(_other_bytes(name, "their SHA-256 is another"))
    return data


def model_facts(identity: ModelIdentity, prefix: Sequence[int]) -> ModelFacts:
    """What a compressed file says of its model."""
    return ModelFacts(
        name=identity.name,
        loader=identity.loader,
        weights_sha256=identity.weights_sha256,
        tokenizer_sha256=identity.tokenizer_sha256,
        config_sha256=identity.config_sha256,
        prefix=identity.prefix,
        prefix_ids=tuple(map(int, prefix)),
        dtype=identity.dtype,
        context_limit=identity.context_limit,
    )


def check_model(header: Header, identity: ModelIdentity, name: str) -> None:
    """Refuse another model than a file was compressed with; needs no weights.

    Raises:
        ModelError: it is another; the message says in what.
    """
    compressed_with = header.model
    facts = model_facts(identity, compressed_with.prefix_ids)
    differences = [
        field
        for field in ModelFacts.__dataclass_fields__
        if field != "name" and getattr(facts, field) != getattr(compressed_with, field)
    ]
    if differences:
        raise ModelError(
            f"{name} was compressed with {compressed_with.name} and cannot be decoded with {identity.name}: "
            f"they differ in {', '.join(differences)}; give --model with the very same files"
        )


def _layout(lengths: tuple[int, ...], facts: ModelFacts, policy: str) -> Layout:
    return Layout(lengths, policy, facts.prefix_ids, facts.context_limit, len(lengths))


def _cut(ids: Ids, lengths: Sequence[int]) -> list[Ids]:
    return np.split(ids, np.cumsum(lengths)[:-1])


def _numerics(model: Model, digest: str) -> Numerics:
    device = str(getattr(model, "device", "cpu")).split(":")[0]
    versions = [f"{package} {importlib.metadata.version(package)}" for package in _PACKAGES]
    versions.insert(0, f"evalkit {__version__}")
    capability = torch.backends.cpu.get_cpu_capability()
    processor = torch.cuda.get_device_name() if device == "cuda" else f"{environment()['cpu']}, {capability}"
    return Numerics(device, torch.get_num_threads(), digest, processor, ", ".join(versions))


def _check_memory(header: Header, name: str) -> None:
    """Refuse more than fits, before anything is made of that size: the file may be of a few bytes."""
    num_bytes = _BYTES_PER_TOKEN * header.num_tokens + header.num_bytes
    if not fits_memory(num_bytes):
        raise CorpusError(
            f"{name} says that it holds {header.num_tokens:,} tokens of {header.num_bytes:,} bytes, which do "
            "not fit into this machine's memory; decompress it on a larger one"
        )


def _check_numerics(header: Header, digest: str, name: str) -> None:
    numerics = header.numerics
    if digest != numerics.digest:
        raise ModelError(
            f"{name} was compressed on {numerics.processor} with {numerics.versions}, and the same model "
            "computes other numbers here; decompress it on such a machine with these versions"
        )


def _other_bytes(name: str, reason: str) -> str:
    return (
        f"{name} does not give back what was compressed ({reason}); this machine computes other numbers than "
        "the one that compressed it"
    )


@contextmanager
def _threads(num_threads: int) -> Iterator[None]:
    """With so many threads of torch, whose number may change a sum's order."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)

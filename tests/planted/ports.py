"""Adapters as a user might write them, each with one fault: over RWKV-7 and over a model of transformers."""

import importlib.resources
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from evalkit.audit.texts import plain_text
from evalkit.embedded.vocabulary import byte_lengths, byte_vocabulary, start_id
from evalkit.models.protocol import Encoding, ModelIdentity
from tests.planted import rwkv7

NANO = Path(str(importlib.resources.files("evalkit.embedded")))
FAULTS: dict[str, str] = {
    "BOS doubled": "prefix doubled",
    "BOS missing": "prefix missing",
    "wrong vocabulary order": "vocabulary order",
    "off-by-one shift": "off-by-one shift",
    "un-normalised softcap": "logits changed after normalisation",
    "peeking one token ahead": "peeks ahead",
    "batch rows leaking": "rows leak",
    "a tokenizer that drops a byte": "tokenizer loses bytes",
    "a distribution that sums to 1.02": "scaled distribution",
}
"""Faults of any adapter, and the names that evalkit has for them."""

RWKV7_FAULTS = {
    "transposed LoRA": "transposed low-rank matrix",
    "missing tanh": "missing tanh",
    "wrong GroupNorm eps": "GroupNorm epsilon",
    "v-first from the wrong layer": "first values of the wrong layer",
    "missing value residual": "missing value residual",
    "c = 0.6": "decay constant",
    "bf16 state": "16-bit state",
}
"""Faults of RWKV-7 alone, and the names."""

Logits = Callable[[Tensor], Tensor]
"""``[B, T, V]`` of ids, ``[B, T]``."""


def rwkv7_logits(fault: str | None = None, path: Path = NANO / "rwkv7-nano/model.safetensors") -> Logits:
    """The port of RWKV-7 with a fault of its own."""
    return rwkv7.Rwkv7Port(rwkv7.tensors_of(path), fault).logits


def vocabulary_of(name: str) -> Tokenizer:
    """That of an embedded model."""
    return Tokenizer.from_file(str(NANO / name / "tokenizer.json"))


def transformers_logits(folder: Path = NANO / "llama-nano") -> Logits:
    """Plain transformers."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return lambda ids: model(ids, use_cache=False).logits


def counted_logits() -> Logits:
    """What followed a byte in the audit's English and code, and a little by the byte before: no network."""
    data = np.frombuffer(plain_text().encode(), np.uint8).astype(np.int64)
    counts = np.full((257, 257), 0.002)
    np.add.at(counts, (data[:-1], data[1:]), 1)
    older, noise = 0.1 * torch.randn(2, 257, 257, generator=torch.Generator().manual_seed(0))
    table = torch.from_numpy(np.log(counts)).float() + noise

    def logits(ids: Tensor) -> Tensor:
        return table[ids] + older[torch.nn.functional.pad(ids, (1, -1), value=256)]

    return logits


class Port:
    """A `TokenModel` over anything that gives logits; of bytes, unless a vocabulary is given."""

    policy_prefixes: Mapping[str, tuple[int, ...]] = {}
    tokens_per_batch = 1 << 14

    def __init__(
        self,
        logits: Logits,
        name: str,
        fault: str | None = None,
        context_limit: int | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self.tokenizer = tokenizer or byte_vocabulary()
        self.byte_lengths = byte_lengths(self.tokenizer)
        self.vocab_size = self.tokenizer.get_vocab_size()
        self.start = start_id(self.tokenizer)
        self.prefix: tuple[int, ...] = (self.start,)
        self.logits_of = logits
        self.fault = fault
        self.context_limit = context_limit
        self.identity = ModelIdentity(
            name=name,
            loader="port",
            revision=None,
            weights_sha256=name,
            tokenizer_sha256=f"{self.vocab_size} tokens",
            prefix=f"token:{self.start}",
            dtype="float32",
            context_limit=context_limit,
        )
        self.order = np.arange(self.start)
        if fault == "wrong vocabulary order":
            # In byte-level vocabularies Ġ is the space.
            printable = [self.tokenizer.token_to_id(symbol) for symbol in ("Ġ", *map(chr, range(33, 127)))]
            self.order[printable] = np.random.default_rng(0).permutation(printable)

    def encode(self, text: str) -> Encoding:
        ids = np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)
        ends = np.cumsum(self.byte_lengths[ids])
        if self.fault == "a tokenizer that drops a byte":
            [carriage_return] = self.tokenizer.encode("\r", add_special_tokens=False).ids
            kept = (ids != carriage_return) | (np.arange(len(ids)) == len(ids) - 1)
            ids, ends = ids[kept], ends[kept]
        return Encoding(self.order[ids], ends)

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        contexts = [self.prefix] * len(sequences) if contexts is None else contexts
        rows = [[*self._context(context), *ids] for context, ids in zip(contexts, sequences, strict=True)]
        longest = max(map(len, rows))
        paddings = [longest - len(row) for row in rows]
        if self.fault == "batch rows leaking":  # padded on the left, without a mask
            padded = [[0] * padding + row for padding, row in zip(paddings, rows, strict=True)]
        else:
            padded = [row + [0] * padding for padding, row in zip(paddings, rows, strict=True)]
            paddings = [0] * len(rows)
        with torch.inference_mode():
            logits = self.logits_of(torch.tensor(padded))
            return [
                self._costs(row_logits, list(ids), padding + len(row) - len(ids))
                for row_logits, row, ids, padding in zip(logits, rows, sequences, paddings, strict=True)
            ]

    def _context(self, context: Sequence[int]) -> list[int]:
        if self.fault == "BOS doubled":
            return [self.start, *context]
        return list(context[1:] if self.fault == "BOS missing" else context)

    def _costs(self, logits: Tensor, targets: list[int], first: int) -> NDArray[np.float32]:
        """Of targets that stand from ``first`` on in what was read, ``[T, V]``."""
        shift = {"peeking one token ahead": 0, "off-by-one shift": 2}.get(self.fault or "", 1)
        costs = np.full(len(targets), math.log(self.vocab_size), np.float32)
        places = np.arange(len(targets)) + first - shift
        is_scored = places >= 0
        rows = logits[places[is_scored]]
        picked = rows.gather(1, torch.tensor(targets)[torch.from_numpy(is_scored)][:, None])[:, 0]
        if self.fault == "un-normalised softcap":
            picked = 10 * torch.tanh(picked / 10)
        costs[is_scored] = (torch.logsumexp(rows, -1) - picked).numpy()
        return costs - np.float32(math.log(1.02)) if "1.02" in (self.fault or "") else costs

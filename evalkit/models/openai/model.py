"""The ``openai`` loader: a model that a server computes, ``openai:http://HOST:PORT/v1#MODEL``.

What is sent are token ids, so that the tokenizer must be had: from its files, or from llama.cpp's server,
which says the bytes of every token. What comes back are the costs of the very tokens that were sent, or the
model is refused.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError, UsageError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.document_start import ModelStart, model_start
from evalkit.models.openai.address import model_name, parse_address
from evalkit.models.openai.client import Client, api_key
from evalkit.models.openai.completions import Completions
from evalkit.models.openai.forced import ForcedTokens
from evalkit.models.openai.preflight import (
    DIFFERENT_TEXT,
    NATURAL_TEXT,
    UNLIKELY_TEXT,
    Probes,
    check_endpoint,
)
from evalkit.models.openai.served import ServedModel, served_model
from evalkit.models.openai.tokenizers import (
    LlamaCppTokenizer,
    ServedTokenizer,
    tokenizer_of_files,
    tokenizer_place,
)
from evalkit.models.prefixes import check_in_vocabulary
from evalkit.models.protocol import Encoding, LoadOptions, ModelIdentity

_NOT_VERIFIABLE = "not verifiable"
_MOST_TOKENS_PER_BATCH = 1 << 18
_NUM_FURTHER_TOKENS = 2
"""What a server's context holds beside the positions of a forward pass: the last target, which is sent as
well, and a token that is generated, for not every server can generate none."""
_PROBE_TOKENS = 32
"""Of llama.cpp's server, which is asked for each token."""


class OpenaiModel:
    """A model of a server; see `evalkit.models.protocol.TokenModel`."""

    def __init__(
        self,
        client: Client,
        endpoint: Completions | ForcedTokens,
        tokenizer: ServedTokenizer,
        identity: ModelIdentity,
        start: ModelStart,
    ) -> None:
        """Wrap an endpoint that was checked.

        Args:
            client: of the server; closed with the model.
            endpoint: what gives costs.
            tokenizer: of the model.
            identity: what the results are filed under; with a limit.
            start: what is read before a document.
        """
        assert identity.context_limit is not None
        self.identity = identity
        self.vocab_size = tokenizer.vocab_size
        self.prefix = start.prefix.ids
        self.policy_prefixes: Mapping[str, tuple[int, ...]] = start.ids_by_policy
        self.context_limit = identity.context_limit
        # So many that the workers have something to do while the last answers of a batch are awaited.
        num_tokens = 4 * client.address.num_workers * identity.context_limit
        self.tokens_per_batch = max(identity.context_limit, min(num_tokens, _MOST_TOKENS_PER_BATCH))
        self._client, self._endpoint, self._tokenizer = client, endpoint, tokenizer

    def __del__(self) -> None:
        """Close the connections."""
        if hasattr(self, "_client"):
            self._client.close()

    def encode(self, text: str) -> Encoding:
        """Tokens of a text, without special tokens.

        Raises:
            LossyTextError: they do not decode to the text's bytes.
        """
        return self._tokenizer.encode(text)

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        """Nats of every id of every sequence; see `TokenModel.nats`."""
        contexts = [self.prefix] * len(sequences) if contexts is None else contexts
        costs: list[NDArray[np.float32]] = []
        targets, read = [], []
        for ids, context in zip(sequences, contexts, strict=True):
            # A first token after nothing is asked of nobody.
            num_unread = 0 if len(context) else min(1, len(ids))
            costs.append(np.full(num_unread, math.log(self.vocab_size), np.float32))
            targets.append(ids[num_unread:])
            read.append([*context, *ids[:num_unread]])
        waiting = [i for i, ids in enumerate(targets) if len(ids)]
        answers = self._endpoint.nats([targets[i] for i in waiting], [read[i] for i in waiting])
        for i, answer in zip(waiting, answers, strict=True):
            costs[i] = np.concatenate((costs[i], answer))
        return costs


class _Described(NamedTuple):
    """A model that was asked for, and is not checked yet."""

    served: ServedModel
    tokenizer: ServedTokenizer
    start: ModelStart
    identity: ModelIdentity


def identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity:
    """What the model is, as far as its server says it.

    Raises:
        ModelError: the server cannot be reached, or its tokenizer cannot be had.
        UsageError: the address names no model of the server's, or a device or precision was asked for.
    """
    with _client(entry, options) as client:
        return _described(client, entry, options).identity


def load(entry: CatalogEntry, options: LoadOptions) -> OpenaiModel:
    """The model, ready to score: a few texts have been asked for, and what came back can be right.

    Raises:
        ModelError: see `identify`; or the server's answers are no costs of what it was sent.
    """
    client = _client(entry, options)
    try:
        served, tokenizer, start, identity = _described(client, entry, options)
        check_in_vocabulary(start.all_ids, tokenizer.vocab_size, entry.name)
        client.address = served.address
        endpoint, probe_nats = _checked_endpoint(client, served, tokenizer, start, identity)
        details = {**identity.details, "probe_nats": round(probe_nats, 4)}
        identity = dataclasses.replace(identity, details=details)
        return OpenaiModel(client, endpoint, tokenizer, identity, start)
    except BaseException:
        client.close()
        raise


def _client(entry: CatalogEntry, options: LoadOptions) -> Client:
    if options.dtype != "auto" or options.device not in ("auto", "cpu"):
        raise UsageError(f"{entry.name}: a server computes as it was started; leave --dtype and --device out")
    # A file in the working folder may name a server, and must not get a key by that.
    key = api_key() if _is_spec(entry) else None
    return Client(parse_address(entry.target, entry.name), entry.name, key)


def _is_spec(entry: CatalogEntry) -> bool:
    """Whether the address was given by the user, and not by a name of the catalog's, which has no colon."""
    return entry.name.startswith("openai:")


def _described(client: Client, entry: CatalogEntry, options: LoadOptions) -> _Described:
    served = served_model(client)
    tokenizer = _tokenizer(client, served, entry)
    start = model_start(tokenizer.start, entry, options)
    names = tokenizer.start.candidates(*start.all_ids)
    is_named = parse_address(entry.target, entry.name).model is not None or not _is_spec(entry)
    identity = ModelIdentity(
        name=entry.name if is_named else f"openai:{model_name(served.address.model or '')}",
        loader="openai",
        revision=None,
        weights_sha256=_NOT_VERIFIABLE,
        tokenizer_sha256=tokenizer.sha256,
        prefix=start.prefix.rule,
        dtype="the server's",
        context_limit=_context_limit(served, entry, options),
        details={**served.details},
        config_sha256=served.sha256,
        numerics=served.software,
        files=tokenizer.files,
        policy_prefixes=start.by_policy,
        token_names=names,
    )
    return _Described(served, tokenizer, start, identity)


def _tokenizer(client: Client, served: ServedModel, entry: CatalogEntry) -> ServedTokenizer:
    if not served.is_llama_cpp:
        return tokenizer_of_files(tokenizer_place(entry, served.entry), entry.name)
    if entry.tokenizer:
        raise ModelError(f"{entry.name}: llama.cpp's server cuts texts itself; leave the tokenizer out")
    if served.vocab_size is None:
        raise ModelError(f"{entry.name}: the server does not say how many tokens its model has")
    return LlamaCppTokenizer(client).served(served.properties, served.vocab_size)


def _context_limit(served: ServedModel, entry: CatalogEntry, options: LoadOptions) -> int:
    """Most positions of a forward pass that the server can be asked for."""
    length = served.context_length
    limits = (
        entry.context_limit,
        options.max_context,
        None if length is None else length - _NUM_FURTHER_TOKENS,
    )
    stated = [limit for limit in limits if limit is not None]
    if not stated:
        raise ModelError(
            f"{entry.name}: the server does not say how long a prompt may be; pass --max-context"
        )
    return min(stated)


def _checked_endpoint(
    client: Client,
    served: ServedModel,
    tokenizer: ServedTokenizer,
    start: ModelStart,
    identity: ModelIdentity,
) -> tuple[Completions | ForcedTokens, float]:
    natural, unlikely, different = (
        tokenizer.encode(text).ids.tolist() for text in (NATURAL_TEXT, UNLIKELY_TEXT, DIFFERENT_TEXT)
    )
    before = start.prefix.ids or (natural.pop(0),)
    limit = identity.context_limit or 0
    if served.is_llama_cpp:
        forced = ForcedTokens(client, tokenizer.vocab_size, natural[0])
        return forced, forced.check([*before, *natural][: min(limit, _PROBE_TOKENS)])
    completions = Completions(client)
    completions.negotiate([*before, *natural][: limit + 1])
    probes = Probes(before, natural, unlikely, different, tokenizer.texts())
    return completions, check_endpoint(completions, probes, tokenizer.vocab_size, limit + 1, client.name)

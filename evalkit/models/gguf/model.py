"""The ``gguf`` loader: models in GGUF files, dequantised, as `evalkit.models.protocol.TokenModel`."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import transformers

from evalkit.models.catalog import CatalogEntry
from evalkit.models.devices import resolve_device, resolve_dtype
from evalkit.models.document_start import ModelStart, model_start
from evalkit.models.gguf import rwkv7
from evalkit.models.gguf.architectures import RWKV7
from evalkit.models.gguf.configuration import check_architecture, configuration, read_configuration
from evalkit.models.gguf.dequantise import check_types, described_weights
from evalkit.models.gguf.files import GgufFile, locate_file
from evalkit.models.gguf.header import Header
from evalkit.models.gguf.layouts import Settings
from evalkit.models.gguf.tokenizer import read_tokenizer
from evalkit.models.gguf.weights import load_weights
from evalkit.models.hf.checkpoint import context_limit, stated_notes
from evalkit.models.hf.files import numerics
from evalkit.models.hf.model import HfModel, wrap
from evalkit.models.hf.prefixes import start_names, tokenizer_start
from evalkit.models.hf.token_bytes import TokenBytes
from evalkit.models.prefixes import check_in_vocabulary
from evalkit.models.protocol import Encoding, LoadOptions, ModelIdentity
from evalkit.models.rwkv7.model import RWKV7Model, starting_model
from evalkit.models.rwkv7.prefixes import DEFAULT_RULE, planned_prefixes
from evalkit_kernels import NUMERICS_VERSION


class _TransformersModel(NamedTuple):
    """A model of transformers that is about to be loaded."""

    settings: Settings
    config: "transformers.PreTrainedConfig"
    tokenizer: "transformers.PreTrainedTokenizerFast"
    identity: ModelIdentity
    start: ModelStart


def identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity:
    """What the model is, from its file's header and digest; weights are not read.

    Raises:
        ModelError: there is no such file, or nothing here can compute what is in it.
        UsageError: the options name an unknown device or dtype.
    """
    file = locate_file(entry)
    header = _checked_header(file)
    if header.architecture == RWKV7:
        return _identify_rwkv7(entry, options, file, header)
    return _plan(entry, options, file, header).identity


def encoder(entry: CatalogEntry, _options: LoadOptions) -> Callable[[str], Encoding]:
    """The file's tokenizer alone; errors as `identify`."""
    header = _checked_header(locate_file(entry))
    if header.architecture == RWKV7:
        return rwkv7.read_vocabulary(header, rwkv7.check_tensors(header)).encode
    return TokenBytes(read_tokenizer(header), entry.name).encode


def load(entry: CatalogEntry, options: LoadOptions) -> HfModel | RWKV7Model:
    """The model, dequantised, ready to score.

    Raises:
        ModelError: see `identify`; or the tensors do not fit the metadata.
        UsageError: the options name an unknown device or dtype.
    """
    file = locate_file(entry)
    header = _checked_header(file)
    dtype, device = resolve_dtype(options), resolve_device(options.device)
    if header.architecture == RWKV7:
        identity = _identify_rwkv7(entry, options, file, header)
        network = rwkv7.load_network(header, dtype=dtype, device=device)
        tokenizer = rwkv7.read_vocabulary(header, network.shape.vocab_size)
        return starting_model(network, identity, tokenizer, options.prefix or entry.prefix)
    plan = _plan(entry, options, file, header)
    model = load_weights(header, plan.config, plan.settings, dtype).to(device)
    return wrap(
        model,
        TokenBytes(plan.tokenizer, entry.name),
        identity=plan.identity,
        prefix=plan.start.prefix.ids,
        policy_prefixes=plan.start.ids_by_policy,
    )


def _checked_header(file: GgufFile) -> Header:
    header = file.header()
    check_architecture(header)
    check_types(header)
    return header


def _plan(entry: CatalogEntry, options: LoadOptions, file: GgufFile, header: Header) -> _TransformersModel:
    settings = configuration(header)
    config = read_configuration(header, settings)
    tokenizer = read_tokenizer(header)
    tokenizer_says = tokenizer_start(tokenizer)
    start = model_start(tokenizer_says, entry, options)
    check_in_vocabulary(start.all_ids, config.vocab_size, entry.name)
    limit = context_limit(config, entry, options)
    identity = _identity(entry, options, file, header)
    identity = dataclasses.replace(
        identity,
        prefix=start.prefix.rule,
        context_limit=limit,
        details={**identity.details, **stated_notes(config, limit)},
        numerics=numerics(has_adapter=False),
        policy_prefixes=start.by_policy,
        prefix_candidates=start.candidates,
        token_names=start_names(tokenizer, tokenizer_says, start),
    )
    return _TransformersModel(settings, config, tokenizer, identity, start)


def _identify_rwkv7(
    entry: CatalogEntry, options: LoadOptions, file: GgufFile, header: Header
) -> ModelIdentity:
    vocab_size = rwkv7.check_tensors(header)
    tokenizer = rwkv7.read_vocabulary(header, vocab_size)
    return dataclasses.replace(
        _identity(entry, options, file, header),
        prefix=options.prefix or entry.prefix or DEFAULT_RULE,
        policy_prefixes=planned_prefixes(entry, options, tokenizer.special_ids, vocab_size),
        context_limit=min(filter(None, (entry.context_limit, options.max_context)), default=None),
        numerics=f"evalkit_kernels {NUMERICS_VERSION}",
    )


def _identity(entry: CatalogEntry, options: LoadOptions, file: GgufFile, header: Header) -> ModelIdentity:
    """What is known of every file; without prefix, context and numerics."""
    return ModelIdentity(
        name=entry.name,
        loader="gguf",
        revision=file.revision,
        weights_sha256=file.digest,
        tokenizer_sha256=header.tokenizer_sha256,
        prefix="",
        dtype=str(resolve_dtype(options)).removeprefix("torch."),
        context_limit=None,
        details=described_weights(header),
        files=file.model_files,
    )

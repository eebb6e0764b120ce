"""What a Hugging Face checkpoint says about itself before its weights are loaded.

A checkpoint is a folder (or a hub repository) with ``config.json``, a tokenizer and weight files. All
that can be wrong with it and can be known from its small files is found here.
"""

import dataclasses
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from evalkit.errors import ModelError, first_line
from evalkit.files import parse_json
from evalkit.models.catalog import CatalogEntry
from evalkit.models.devices import resolve_dtype
from evalkit.models.document_start import model_start
from evalkit.models.hf.adapters import Adapter, open_adapter
from evalkit.models.hf.bounds import check_stated_counts
from evalkit.models.hf.classes import config_class, is_language_model
from evalkit.models.hf.files import (
    CheckpointFolder,
    adapter_weights,
    check_adapter,
    check_shards,
    numerics,
    refuse_bare_adapter,
    small_files,
    stated_weights,
)
from evalkit.models.hf.position_tables import position_tables
from evalkit.models.hf.prefixes import start_names, tokenizer_start
from evalkit.models.hf.quiet import quiet
from evalkit.models.hf.routing import routing_note
from evalkit.models.hf.tokenizer_files import read_tokenizer
from evalkit.models.hub import HubSnapshot, download, weights_sha256
from evalkit.models.model_files import combined_sha256
from evalkit.models.prefixes import check_in_vocabulary
from evalkit.models.protocol import LoadOptions, ModelIdentity

_LENGTH_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "context_length")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is about to be loaded."""

    folder: Path
    """Where config and tokenizer are; `fetch_weights` puts a repository's weights there as well."""
    snapshot: HubSnapshot | None
    """The repository's files; None for a local folder."""
    weight_names: tuple[str, ...]
    """The files that transformers takes the weights from, an adapter's among them."""
    config: "transformers.PreTrainedConfig"
    tokenizer: "transformers.PreTrainedTokenizerBase"
    trust_remote_code: bool
    identity: ModelIdentity
    prefix: tuple[int, ...]
    adapter: Adapter | None = None
    """What is applied to the weights; one that lies beside them is among `weight_names`."""

    def num_weight_bytes(self) -> int:
        """How much the weights take: what the hub states of files that may not be here yet, else theirs."""
        sizes = self.snapshot.sizes if self.snapshot else {}
        if all(name in sizes for name in self.weight_names):
            return sum(sizes[name] for name in self.weight_names)
        folder = self.fetch_weights()
        return sum((folder / name).stat().st_size for name in self.weight_names)

    def fetch_weights(self) -> Path:
        """The folder with all of the checkpoint's files."""
        if self.snapshot is None:
            return self.folder
        return download(self.snapshot.repo, self.snapshot.commit, list(self.weight_names))


def open_checkpoint(entry: CatalogEntry, options: LoadOptions) -> Checkpoint:
    """Read a checkpoint's small files and identify its weights; nothing is loaded.

    Raises:
        ModelError: files are missing or unreadable, or this is not a causal language model.
        UsageError: the options name an unknown device or dtype.
    """
    trust_remote_code = _is_trusted(entry, options)
    folder, snapshot = small_files(entry.target, entry.revision, entry.name)
    place = CheckpointFolder(folder, snapshot)
    # Digests first: what is read below is then no older than they are.
    other_files = place.other_files(trust_remote_code=trust_remote_code)
    tokenizer_place = place
    if entry.tokenizer:
        tokenizer_place = CheckpointFolder(*small_files(entry.tokenizer, "main", entry.name))
        if trust_remote_code:
            other_files += tokenizer_place.files_of_tokenizer_code()
    tokenizer_sha256, tokenizer_files = tokenizer_place.tokenizer_sha256(), tokenizer_place.tokenizer_files()
    config = _read_config(folder, entry.name, trust_remote_code)
    names = _checked_weight_names(entry, place, config)
    weights = [place.file(name) for name in names]
    beside = adapter_weights(place.names())
    adapter = _named_adapter(entry, beside)
    other_files += adapter.files() if adapter else []
    tokenizer = read_tokenizer(tokenizer_place.folder, entry.name, trust_remote_code)
    tokenizer_says = tokenizer_start(tokenizer, tokenizer_place.folder)
    start = model_start(tokenizer_says, entry, options)
    if vocab_size := _stated(config, "vocab_size"):
        check_in_vocabulary(start.all_ids, vocab_size, entry.name)
    limit = context_limit(config, entry, options)
    identity = ModelIdentity(
        name=entry.name,
        loader="hf",
        revision=None if snapshot is None else snapshot.commit,
        weights_sha256=weights_sha256({file.name: file.digest for file in weights}),
        tokenizer_sha256=tokenizer_sha256,
        prefix=start.prefix.rule,
        dtype=str(resolve_dtype(options)).removeprefix("torch."),
        context_limit=limit,
        details=_details(config, limit) | _adapter_details(entry, adapter, beside),
        config_sha256=combined_sha256(other_files),
        numerics=numerics(has_adapter=bool(adapter or beside)),
        files=(*weights, *other_files, *tokenizer_files),
        policy_prefixes=start.by_policy,
        prefix_candidates=start.candidates,
        token_names=start_names(tokenizer, tokenizer_says, start),
    )
    return Checkpoint(
        folder=folder,
        snapshot=snapshot,
        weight_names=(*names, *beside),
        config=config,
        tokenizer=tokenizer,
        trust_remote_code=trust_remote_code,
        identity=identity,
        prefix=start.prefix.ids,
        adapter=adapter,
    )


def _is_trusted(entry: CatalogEntry, options: LoadOptions) -> bool:
    if entry.trust_remote_code and not options.trust_remote_code:
        raise ModelError(
            f"{entry.name}: the catalog says that it only runs with its repository's own Python; pass "
            "--trust-remote-code to run that"
        )
    return options.trust_remote_code


def _named_adapter(entry: CatalogEntry, beside: list[str]) -> Adapter | None:
    if entry.adapter is None:
        return None
    if beside:
        raise ModelError(
            f"{entry.name}: an adapter, {beside[0]}, lies beside the weights, and another is named; "
            "move the former away"
        )
    return open_adapter(entry.adapter, entry.name)


def _adapter_details(entry: CatalogEntry, adapter: Adapter | None, beside: list[str]) -> dict[str, str]:
    if adapter:
        return adapter.details(entry.target)
    return {"adapter": ", ".join(beside)} if beside else {}


def _details(config: "transformers.PreTrainedConfig", limit: int | None) -> dict[str, str]:
    """What a cell should say of a checkpoint; what the catalog knows, `evalkit.models.loading` adds."""
    return {"model_type": str(config.model_type), **stated_notes(config, limit)}


def stated_notes(config: "transformers.PreTrainedConfig", limit: int | None) -> dict[str, str]:
    """What a cell should say of how a config's model computes."""
    notes = {"batch_dependence": routing_note(config), "position_tables": position_tables(config).note(limit)}
    return {name: note for name, note in notes.items() if note}


def context_limit(
    config: "transformers.PreTrainedConfig", entry: CatalogEntry, options: LoadOptions
) -> int | None:
    """Most token positions of one forward pass; None for a recurrent model without a cap.

    Raises:
        ModelError: an attention model that states no length.
    """
    limit = entry.context_limit
    if limit is None:
        limit = stated_length(config)
        if limit is None and not _is_recurrent(config) and options.max_context is None:
            raise ModelError(
                f"{entry.name}: its config.json states no context length; pass --max-context or give "
                "context_limit in the catalog"
            )
    return min((length for length in (limit, options.max_context) if length is not None), default=None)


def _read_config(folder: Path, name: str, trust_remote_code: bool) -> "transformers.PreTrainedConfig":
    path = folder / "config.json"
    if not path.is_file():
        refuse_bare_adapter(folder, name)
        raise ModelError(f"{name}: {folder} has no config.json, so it is not a Hugging Face checkpoint")
    try:
        stated = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{name}: {path} is not JSON: {error}") from error
    model_type = stated.get("model_type") if isinstance(stated, dict) else None
    if model_type is None:
        raise ModelError(f"{name}: {path} names no model_type")
    check_stated_counts(stated, name)
    has_own_code = "AutoModelForCausalLM" in (stated.get("auto_map") or {})
    if model_type not in CONFIG_MAPPING and not (has_own_code and trust_remote_code):
        advice = "pass --trust-remote-code to run the repository's own Python, or " if has_own_code else ""
        raise ModelError(
            f"{name}: transformers {transformers.__version__} has no model type {model_type!r}; "
            f"{advice}update transformers"
        )
    try:
        with quiet():
            if has_own_code and trust_remote_code:
                config = transformers.AutoConfig.from_pretrained(
                    folder, trust_remote_code=True, local_files_only=True
                )
            else:
                config = config_class(stated).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, ImportError, StrictDataclassError) as error:
        raise ModelError(f"{name}: {path} cannot be read: {first_line(error)}") from error
    if not (has_own_code and trust_remote_code):
        _refuse_other_models(config, name)
        if config._attn_implementation not in (None, "eager", "sdpa"):
            config._attn_implementation = None  # a name can be a repository's, whose kernels would be run
    return config


def _refuse_other_models(config: "transformers.PreTrainedConfig", name: str) -> None:
    architectures = ", ".join(config.architectures or [config.model_type])
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{name}: {architectures} is a sequence-to-sequence model; a causal one is needed")
    # BERT and its like can be run as decoders, and are only if their checkpoint says so.
    is_causal = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()).intersection(config.architectures or ())
    is_encoder = _stated(config, "is_decoder") is False and not is_causal
    if is_encoder or not is_language_model(config):
        raise ModelError(f"{name}: {architectures} is not a causal language model: it predicts no next token")


def _stated(config: "transformers.PreTrainedConfig", key: str) -> Any:
    """A setting of the text model, under whatever name its config keeps it."""
    text_config = config.get_text_config(decoder=True)
    return text_config.to_dict().get(text_config.attribute_map.get(key, key))


def stated_length(config: "transformers.PreTrainedConfig") -> int | None:
    """The context length that an attention model's config states; None for a recurrent one."""
    if _is_recurrent(config):
        return None
    lengths = [_stated(config, key) for key in _LENGTH_NAMES]
    return next((length for length in lengths if isinstance(length, int) and length > 0), None)


def _is_recurrent(config: "transformers.PreTrainedConfig") -> bool:
    """Whether a model's memory does not grow with the text: no attention, or only over a fixed window.

    A config without attention heads has no attention layers (Mamba, xLSTM, RWKV-4, whose lengths are
    those of training); RecurrentGemma's attention looks back 2048 tokens whatever the length.
    """
    if _stated(config, "num_attention_heads") is None:
        return not _stated(config, "attn")  # flash-linear-attention's hybrids keep their heads there
    return "recurrent" in (_stated(config, "block_types") or ())


def weight_names(names: Collection[str]) -> list[str]:
    """The weight files that transformers would load among a checkpoint's files, safetensors first.

    Others beside them (``consolidated.safetensors``) hold the same weights in another layout.
    """
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        if f"{stem}.{suffix}" in names:
            return [f"{stem}.{suffix}"]
        shards = sorted(n for n in names if re.fullmatch(rf"{stem}-\d+-of-\d+\.{suffix}", n))
        if shards:
            return shards
    return []


def _checked_weight_names(
    entry: CatalogEntry, place: CheckpointFolder, config: "transformers.PreTrainedConfig"
) -> list[str]:
    """The weight files that transformers would load, all of which are there."""
    present = place.names()
    check_adapter(present, entry.name)
    explicit_names = stated_weights(config, place.folder, entry.name)
    names = weight_names(present) if explicit_names is None else explicit_names
    if missing := sorted(set(names).difference(present)):
        raise ModelError(f"{entry.name}: config.json names the weights {missing[0]}, which are not there")
    if not names:
        raise ModelError(
            f"{entry.name}: {entry.target} has no model.safetensors or pytorch_model.bin (nor shards of one)"
        )
    if explicit_names is None:
        check_shards(place.folder, names, entry.name)
    return names

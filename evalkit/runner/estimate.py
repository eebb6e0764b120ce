"""What a run would take: tokens, hours of a device and memory, before anything is loaded."""

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.corpora.store import Corpus, load_corpora
from evalkit.errors import UsageError
from evalkit.models.catalog import CatalogEntry, load_catalog, resolve_spec
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from evalkit.models.targets import expand_spec
from evalkit.runner.throughput import BYTES_PER_PARAMETER, Device, Throughput, memory_gb, throughput

BYTES_PER_TOKEN = 4.0
"""Of text, about."""


class ModelEstimate(NamedTuple):
    """What one model would take on all corpora."""

    model: str
    num_cells: int
    num_tokens: int
    """Estimated from bytes."""
    num_parameters: int | None
    """None where nothing says it, or there are none: then nothing else is known."""
    speed: Throughput | None
    hours: float | None
    """Of one device."""
    memory_gb: float | None

    def num_devices(self, device: Device) -> int | None:
        """How many of a device the weights need."""
        return None if self.memory_gb is None else int(-(-self.memory_gb // device.memory_gb))


def estimate(
    models: Sequence[str], corpora: Sequence[str], device: Device, *, dtype: str, limit: int | None = None
) -> list[ModelEstimate]:
    """What each model would take on all corpora, as if no cell were finished.

    Args:
        models: catalog names or ``LOADER:TARGET``; only of the latter files are looked at.
        corpora: names or paths.
        device: see `evalkit.runner.throughput.DEVICES`.
        dtype: ``auto`` or the precision of the weights; ``auto`` is float32 on the CPU, else bfloat16.
        limit: how many documents of each corpus; None: all.

    Raises:
        UsageError: an unknown name or precision, or nothing to score.
        CorpusError: a corpus cannot be read.
    """
    if not models or not corpora:
        raise UsageError("nothing to plan: name at least one model and one corpus")
    if dtype == "auto":
        dtype = "float32" if device.name == "cpu" else "bfloat16"
    if dtype not in BYTES_PER_PARAMETER:
        raise UsageError(f"unknown dtype {dtype!r}; use auto, {', '.join(BYTES_PER_PARAMETER)}")
    catalog = load_catalog()
    entries = [resolve_spec(spec, catalog) for name in models for spec in expand_spec(name)]
    texts = [corpus if limit is None else corpus.limited(limit) for corpus in load_corpora(corpora)]
    return [_of_model(entry, texts, device, dtype) for entry in entries]


def _of_model(entry: CatalogEntry, corpora: Sequence[Corpus], device: Device, dtype: str) -> ModelEstimate:
    num_tokens = round(sum(corpus.num_bytes for corpus in corpora) / BYTES_PER_TOKEN)
    num_parameters = None if entry.loader == "codec" else _num_parameters(entry)
    if num_parameters is None:
        return ModelEstimate(entry.name, len(corpora), num_tokens, None, None, None, None)
    speed = throughput(device, num_parameters)
    return ModelEstimate(
        entry.name,
        len(corpora),
        num_tokens,
        num_parameters,
        speed,
        num_tokens / speed.tokens_per_s / 3600,
        memory_gb(num_parameters, dtype),
    )


def _num_parameters(entry: CatalogEntry) -> int | None:
    if entry.num_parameters is not None:
        return entry.num_parameters
    [located] = locate_models([entry.name], LoadOptions())
    stated = located.identity.details.get("num_parameters")
    return stated if isinstance(stated, int) else None

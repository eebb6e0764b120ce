"""What a run would take: tokens, hours of a device and memory, before anything is loaded."""

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.corpora.store import Corpus, load_corpora
from evalkit.errors import ModelError, UsageError
from evalkit.models.catalog import CatalogEntry, load_catalog
from evalkit.models.loading import locate_models
from evalkit.models.name_patterns import find_entries
from evalkit.models.protocol import LoadOptions
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
    problem: str | None = None
    """Why its size is not known, where it cannot be looked at."""

    def num_devices(self, device: Device) -> int | None:
        """How many of a device the weights need."""
        return None if self.memory_gb is None else int(-(-self.memory_gb // device.memory_gb))


def estimate(
    models: Sequence[str], corpora: Sequence[str], device: Device, *, dtype: str, limit: int | None = None
) -> list[ModelEstimate]:
    """What each model would take on all corpora, as if no cell were finished.

    Args:
        models: as `evalkit.models.name_patterns.find_entries` takes them; files are looked at only of those
            whose size the catalog does not say.
        corpora: names or paths.
        device: see `evalkit.runner.throughput.DEVICES`.
        dtype: ``auto`` or the precision of the weights; ``auto`` is float32 on the CPU, else bfloat16.
        limit: how many documents of each corpus; None: all.

    Raises:
        UsageError: an unknown name or precision, or nothing to score.
        CorpusError: a corpus cannot be read.
        ModelError: none of the models can be looked at.
    """
    if not models or not corpora:
        raise UsageError("nothing to plan: name at least one model and one corpus")
    if dtype == "auto":
        dtype = "float32" if device.name == "cpu" else "bfloat16"
    if dtype not in BYTES_PER_PARAMETER:
        raise UsageError(f"unknown dtype {dtype!r}; use auto, {', '.join(BYTES_PER_PARAMETER)}")
    entries = find_entries(models, load_catalog())
    texts = [corpus if limit is None else corpus.limited(limit) for corpus in load_corpora(corpora)]
    estimates = [_of_model(entry, texts, device, dtype) for entry in entries]
    problems = [of.problem for of in estimates if of.problem is not None]
    if len(problems) == len(estimates):
        raise ModelError("; ".join(problems))
    return estimates


def _of_model(entry: CatalogEntry, corpora: Sequence[Corpus], device: Device, dtype: str) -> ModelEstimate:
    num_tokens = round(sum(corpus.num_bytes for corpus in corpora) / BYTES_PER_TOKEN)
    problem = num_parameters = None
    try:
        num_parameters = None if entry.loader == "codec" else _num_parameters(entry)
    except ModelError as error:  # it costs the others nothing
        problem = str(error)
    if num_parameters is None:
        return ModelEstimate(entry.name, len(corpora), num_tokens, None, None, None, None, problem)
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

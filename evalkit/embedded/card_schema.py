"""What the model cards of the embedded models hold: a typed reader, which names the file that is none."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from evalkit.errors import ModelError, first_line
from evalkit.fields import JsonValue, Mark, from_json
from evalkit.files import parse_json, plain_file_text

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What determined the weights."""

    model: str
    data_sha256: str
    learning_rate: float
    num_steps: int
    num_passes: int
    """How often each document could be read."""
    tokens_per_step: int
    short_row_tokens: int
    num_short_steps: int
    """The first steps, whose rows were short; then they had `row_tokens`."""
    row_tokens: int
    vocab_size: int
    products: str
    """The type in which matrices were multiplied."""
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackageFacts:
    """A package whose texts were read."""

    version: str
    license: str
    num_bytes: int
    num_files: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFacts:
    """A set that was read."""

    name: str
    date: str
    license: str
    num_bytes: int
    num_documents: int
    num_held_out: int
    sha256: str
    file_sha256: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    num_dropped: Annotated[Mapping[str, int] | None, Mark.MAY_BE_ABSENT] = None
    """By reason."""
    packages: Annotated[Mapping[str, PackageFacts] | None, Mark.MAY_BE_ABSENT] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """How far the training was; losses in bits per byte."""

    step: int
    num_bytes: int
    learning_rate: float
    seconds: float
    train: float
    held_out_prose: float
    held_out_code: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """A short training by one learning rate, and the bits per byte after it."""

    learning_rate: float
    held_out: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """The facts that the recipe wrote."""

    command: str
    recipe: Recipe
    data: tuple[DataFacts, ...]
    curve: tuple[CurvePoint, ...]
    learning_rate_sweep: tuple[SweepPoint, ...]
    environment: Annotated[Mapping[str, JsonValue], Mark.ANY_JSON]
    num_bytes_read: int
    num_parameters: int
    num_threads: int
    peak_memory_bytes: int
    cpu_seconds: float
    wall_seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beside:
    """Another model on the same documents, and on how many of them the card's is better."""

    bits_per_byte: float
    difference: float
    difference_low: float | None
    difference_high: float | None
    num_better: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class CardScore:
    """The model on one corpus."""

    corpus: str
    corpus_sha256: str
    num_documents: int
    num_bytes: int
    bits_per_byte: float
    bits_per_byte_low: float | None
    bits_per_byte_high: float | None
    beside: Mapping[str, Beside]
    """By model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CardPosition:
    """Bits per byte between two places of documents."""

    first_byte: int
    end_byte: int
    bits_per_byte: float
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CardPositions:
    """Bits per byte along documents."""

    corpus: str
    min_bytes: int
    bits_per_byte: tuple[CardPosition, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """A model card."""

    name: str
    weights_sha256: str
    knowledge_cutoff: str
    license: str
    training: Training
    num_repeated: Mapping[str, int]
    """Near-duplicates of what was trained on, left out of what is scored; by corpus."""
    scores: tuple[CardScore, ...]
    positions: CardPositions


def card_of(path: Path) -> Card:
    """The card in a file.

    Raises:
        ModelError: it cannot be read, or is no card; the message names the file and the field.
    """
    return _read(Card, path, "model card")


def training_of(path: Path) -> Training:
    """The facts of a training in a file; errors are as of `card_of`."""
    return _read(Training, path, "facts of a training")


def _read(cls: type[T], path: Path, words: str) -> T:
    try:
        return from_json(cls, parse_json(plain_file_text(path)))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; install evalkit again") from error
    except ValueError as error:  # FieldError as well
        raise ModelError(f"{path} is no {words}: {first_line(error)}; install evalkit again") from error

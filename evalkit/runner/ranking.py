"""What a run over corpora comes to: its cells, the ranking of the models, and what a reader must know."""

import dataclasses
import math
from collections.abc import Mapping

from evalkit.analysis.cutoff import DatedDocuments, Reading
from evalkit.analysis.document_dates import reading_of_model
from evalkit.analysis.estimates import macro_interval
from evalkit.cells.schema import COMPRESSION_RATE_PERCENT_PER_BPB, CorpusCell, content_of
from evalkit.models.catalog import load_catalog
from evalkit.runner.loop import Failure
from evalkit.stats import Interval


@dataclasses.dataclass(frozen=True)
class RankedModel:
    """A model's place in the ranking."""

    model: str
    bits_per_byte: float | None
    """Macro average: the plain mean over the corpora; None where a corpus is missing."""
    interval: Interval | None
    """Of the macro average, 95 %; None where there is none, or too little to resample."""
    cells: dict[str, CorpusCell]
    """By corpus name."""

    def to_json(self) -> dict[str, str | float | None]:
        """The place as strict JSON can hold it."""
        rate = None if self.bits_per_byte is None else COMPRESSION_RATE_PERCENT_PER_BPB * self.bits_per_byte
        return {
            "model": self.model,
            "bits_per_byte_macro": self.bits_per_byte,
            "bits_per_byte_macro_low": self.interval.low if self.interval else None,
            "bits_per_byte_macro_high": self.interval.high if self.interval else None,
            "compression_rate_percent_macro": rate,
        }


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run over corpora found finished, and what it scored."""

    corpora: tuple[str, ...]
    models: tuple[str, ...]
    policy: str
    cells: tuple[CorpusCell, ...]
    failures: tuple[Failure, ...]
    num_scored: int
    """Cells that this run computed; the others were finished before."""
    documents: Mapping[str, DatedDocuments] = dataclasses.field(default_factory=dict)
    """By corpus: when its documents were published."""

    def ranking(self) -> list[RankedModel]:
        """Models by macro average, lowest first; those with a missing corpus come last."""
        ranking = [self._ranked(model) for model in self.models]
        return sorted(ranking, key=lambda ranked: (ranked.bits_per_byte is None, ranked.bits_per_byte))

    def _ranked(self, model: str) -> RankedModel:
        cells = {cell.corpus.name: cell for cell in self.cells if cell.model.name == model}
        if len(cells) < len(self.corpora):
            return RankedModel(model, None, None, cells)
        mean = math.fsum(cell.bits_per_byte for cell in cells.values()) / len(self.corpora)
        return RankedModel(model, mean, macro_interval([cells[corpus] for corpus in self.corpora]), cells)

    def readings(self) -> list[tuple[CorpusCell, Reading]]:
        """Whether each cell's model can have read its corpus in training, as far as dates tell."""
        catalog = load_catalog()
        return [
            (
                cell,
                reading_of_model(
                    cell.model, self.documents[cell.corpus.name], catalog, cell.is_of_a_compressor
                ),
            )
            for cell in self.cells
        ]

    def to_json(self) -> dict[str, object]:
        """The result as strict JSON can hold it."""
        return {
            "schema_version": 2,
            "policy": self.policy,
            "corpora": list(self.corpora),
            "num_scored": self.num_scored,
            "ranking": [ranked.to_json() for ranked in self.ranking()],
            "cells": [{"file": str(cell.path), **content_of(cell)} for cell in self.cells],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
        }

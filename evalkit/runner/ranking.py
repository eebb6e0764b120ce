"""What a run over corpora comes to: its cells, the ranking of the models, and what a reader must know."""

import dataclasses
import datetime as dt
import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.cutoff import (
    DatedDocuments,
    Exposure,
    Reading,
    combined,
    earliest_day,
    is_newer_than,
    latest_day,
)
from evalkit.analysis.document_dates import cutoff_of_model, reading_of_model
from evalkit.cells.schema import COMPRESSION_RATE_PERCENT_PER_BPB, CorpusCell, content_of
from evalkit.displayed import Displayed, Record, counted, first_of
from evalkit.models.catalog import load_catalog
from evalkit.runner.plan import Failure
from evalkit.stats import Interval


class PartialAverage(NamedTuple):
    """A macro average over those of the counted corpora that a model has: it compares with no other's."""

    bits_per_byte: float
    interval: Interval | None
    num_corpora: int


@dataclasses.dataclass(frozen=True)
class RankedModel:
    """A model's place in the ranking."""

    model: str
    bits_per_byte: float | None
    """Macro average: the plain mean over the corpora of `RunResult.counted`; None where one is missing."""
    interval: Interval | None
    """Of the macro average, 95 %; None where there is none, or too little to resample."""
    cells: dict[str, CorpusCell]
    """By corpus name."""
    mark: str = ""
    """Behind rank and average: the worst that dates say of a counted corpus; see `analysis.cutoff.MARKS`."""
    bits_per_byte_of_all: float | None = None
    """The same average over all corpora of the run."""
    interval_of_all: Interval | None = None
    partial: PartialAverage | None = None
    """Where counted corpora are missing and others are not."""

    def to_json(self) -> dict[str, str | float | None]:
        """The place as strict JSON can hold it."""
        rate = None if self.bits_per_byte is None else COMPRESSION_RATE_PERCENT_PER_BPB * self.bits_per_byte
        return {
            "model": self.model,
            "bits_per_byte_macro": self.bits_per_byte,
            "bits_per_byte_macro_low": self.interval.low if self.interval else None,
            "bits_per_byte_macro_high": self.interval.high if self.interval else None,
            "compression_rate_percent_macro": rate,
            "bits_per_byte_macro_of_all_corpora": self.bits_per_byte_of_all,
            "bits_per_byte_macro_partial": self.partial.bits_per_byte if self.partial else None,
            "num_corpora_partial": self.partial.num_corpora if self.partial else None,
            "mark": self.mark,
        }


@dataclasses.dataclass(frozen=True, repr=False)
class RunResult(Displayed):
    """What a run over corpora found finished, and what it scored."""

    corpora: tuple[str, ...]
    models: tuple[str, ...]
    policy: str
    cells: Sequence[CorpusCell]
    """Those that were finished before are read when somebody looks at them."""
    failures: tuple[Failure, ...]
    num_scored: int
    """Cells that this run computed; the others were finished before."""
    documents: Mapping[str, DatedDocuments] = dataclasses.field(default_factory=dict)
    """By corpus: when its documents were published."""
    unaudited: tuple[str, ...] = ()
    """Language models, by name, that have cells here and no kept audit; those of the package left out."""

    def headline(self) -> str:
        """What was scored, how much of it now, and what failed."""
        sizes = f"{counted(len(self.models), 'model')} on {first_of(self.corpora, 3)}"
        cells = counted(len(self.cells), "cell")
        failures = f"{self.num_scored} scored now, {len(self.failures)} failed"
        return f"{sizes}, policy {self.policy}: {cells}, {failures}"

    def records(self) -> list[Record]:
        """A row per cell, models by rank: the metric with its interval, totals and speeds."""
        marks = {id(cell): reading.exposure.mark for cell, reading in self.readings()}
        return [
            cell.as_record(mark=marks[id(cell)])
            for ranked in self.ranking()
            for cell in ranked.cells.values()
        ]

    @functools.cached_property
    def counted(self) -> tuple[str, ...]:
        """The corpora that averages and ranks count: those newer than every model, or all where none is.

        As on a leaderboard; see `evalkit.analysis.cutoff.is_newer_than`.
        """
        latest = self.latest_day
        newer = [
            name
            for name in self.corpora
            if name in self.documents and is_newer_than(earliest_day(self.documents[name]), latest)
        ]
        return tuple(newer) or self.corpora

    @functools.cached_property
    def latest_day(self) -> dt.date | None:
        """The last day that one of the models can have read something of; None where of none it is known."""
        catalog = load_catalog()
        models = [cell.model for cell in self.cells if not cell.is_of_a_compressor]
        return latest_day(cutoff_of_model(model, catalog) for model in models)

    def ranking(self) -> list[RankedModel]:
        """Models by macro average, lowest first; those with a missing corpus come last."""
        cells: dict[str, dict[str, CorpusCell]] = {model: {} for model in self.models}
        exposures: dict[str, list[Exposure]] = {model: [] for model in self.models}
        for cell, reading in self.readings():
            if cell.model.name not in cells:
                continue
            cells[cell.model.name][cell.corpus.name] = cell
            if cell.corpus.name in self.counted:
                exposures[cell.model.name].append(reading.exposure)
        averages = _averages(cells, self.counted)
        averages_of_all = averages if self.counted == self.corpora else _averages(cells, self.corpora)
        ranking = []
        for model in self.models:
            mean, interval = averages[model]
            mark = combined(exposures[model]).mark if exposures[model] else ""
            partial = None if mean is not None else _partial_average(cells[model], self.counted)
            of_all = averages_of_all[model]
            ranking.append(RankedModel(model, mean, interval, cells[model], mark, *of_all, partial))
        return sorted(ranking, key=lambda ranked: (ranked.bits_per_byte is None, ranked.bits_per_byte))

    def readings(self) -> list[tuple[CorpusCell, Reading]]:
        """Whether each cell's model can have read its corpus in training, as far as dates tell."""
        return self._readings

    @functools.cached_property
    def _readings(self) -> list[tuple[CorpusCell, Reading]]:
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
            "corpora_counted": list(self.counted),
            "num_scored": self.num_scored,
            "ranking": [ranked.to_json() for ranked in self.ranking()],
            "cells": [{"file": str(cell.path), **content_of(cell)} for cell in self.cells],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
        }


def _partial_average(cells: Mapping[str, CorpusCell], corpora: Sequence[str]) -> PartialAverage | None:
    scored = [corpus for corpus in corpora if corpus in cells]
    mean, interval = _averages({"": cells}, scored)[""]
    return None if mean is None else PartialAverage(mean, interval, len(scored))


def _averages(
    cells: Mapping[str, Mapping[str, CorpusCell]], corpora: Sequence[str]
) -> dict[str, tuple[float | None, Interval | None]]:
    """Models' macro averages over corpora with their intervals; None where a corpus is missing, or all are.

    Args:
        cells: by model and corpus.
        corpora: their names.
    """
    from evalkit.analysis.macro_averages import macro_intervals  # a plan does without

    members = {
        model: [of_model[corpus] for corpus in corpora]
        for model, of_model in cells.items()
        if corpora and all(corpus in of_model for corpus in corpora)
    }
    intervals = dict(zip(members, macro_intervals(list(members.values())), strict=True))
    return {
        model: (_mean(members[model]), intervals[model]) if model in members else (None, None)
        for model in cells
    }


def _mean(cells: Sequence[CorpusCell]) -> float:
    return math.fsum(cell.bits_per_byte for cell in cells) / len(cells)

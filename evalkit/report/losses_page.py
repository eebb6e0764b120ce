"""A corpus's page of losses by kind: what each class of bytes costs, of any two models."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.losses.axes import AXES
from evalkit.analysis.losses.class_losses import ClassLosses, CorpusLosses, corpus_losses, with_token_bits
from evalkit.report.pages import Pages
from evalkit.report.shown import ShownEstimate, ShownGap, difference, estimate
from evalkit.report.text import decimals, number
from evalkit.report.writer import Writer, shown_deep


class LossesModel(NamedTuple):
    """A model that can be chosen."""

    key: str
    label: str
    policy: str | None


class LossesRow(NamedTuple):
    """A class under the two models that the page begins with."""

    name: str
    num_bytes: int
    share: str
    levels: list[ShownEstimate]
    gap: ShownGap | None
    mark: str
    """``*`` where the difference is clear of 0 with all classes looked at together."""
    ratio: str | None
    gap_share: str | None


class LossesAxis(NamedTuple):
    """An axis with its classes."""

    name: str
    help: str
    rows: list[LossesRow]


def write_losses(writer: Writer, pages: Pages) -> dict[int, frozenset[int]]:
    """Write the pages; returns the models that each corpus's page has, by the corpus's index."""
    models_of = {}
    for index in range(len(pages.results.corpora)):
        parts = _losses(pages, index)
        if parts:
            _write(writer, pages, index, parts)
            models_of[index] = frozenset(model for part in parts for model in part.configurations)
    return models_of


def _losses(pages: Pages, index: int) -> list[CorpusLosses]:
    """The losses on a corpus, of each policy by itself."""
    texts = pages.backgrounds[index].corpus
    if texts is None:
        return []
    corpus, results = pages.results.corpora[index], pages.results
    chosen = (with_token_bits(results, corpus, policy) for policy in results.policies)
    parts = (corpus_losses(results, index, texts, models) for models in chosen if models)
    return [part for part in parts if part is not None]


def _write(writer: Writer, pages: Pages, index: int, parts: Sequence[CorpusLosses]) -> None:
    corpus = pages.results.corpora[index]
    models = {
        configuration: LossesModel(row.key, row.label, row.policy)
        for part in parts
        for configuration in part.configurations
        for row in [pages.results.configurations[configuration]]
    }
    pair = parts[0].configurations[:2]
    writer.data(
        f"data/losses/{corpus.key}.js",
        {
            "configurations": shown_deep([model._asdict() for model in models.values()]),
            "parts": [_part_data(part, models) for part in parts],
        },
    )
    writer.page(
        f"losses/{corpus.key}.html",
        "losses.html",
        ["losses.js"],
        corpus=pages.column(index),
        models=models,
        pair=[models[model] for model in pair],
        parts=parts,
        whole=_row(parts[0].classes[0], parts[0].classes[0].num_bytes, pair),
        axes=_axes(parts[0], pair),
    )


def _axes(part: CorpusLosses, pair: Sequence[int]) -> list[LossesAxis]:
    num_bytes = part.classes[0].num_bytes
    return [
        LossesAxis(name, axis.help, [_row(row, num_bytes, pair) for row in part.of_axis(name)])
        for name, axis in AXES.items()
    ]


def _row(part: ClassLosses, num_bytes: int, pair: Sequence[int]) -> LossesRow:
    levels = [part.levels[model] for model in pair]
    gap = part.gaps.get((pair[0], pair[-1]))
    return LossesRow(
        name=part.name,
        num_bytes=part.num_bytes,
        share=f"{100 * part.num_bytes / num_bytes:.1f}",
        levels=[estimate(level, decimals([level.half_width])) for level in levels],
        gap=None if gap is None else difference(gap.difference),
        mark="*" if gap is not None and gap.is_clear else "",
        ratio=None if gap is None or gap.ratio is None else number(gap.ratio.value, 3),
        gap_share=None if gap is None or gap.share is None else number(round(100 * gap.share), 0),
    )


def _part_data(part: CorpusLosses, models: Mapping[int, LossesModel]) -> dict[str, object]:
    """The classes under one policy, as the page's script reads them."""
    return {
        "policy": part.policy,
        "num_left_out": part.num_documents_left_out,
        "num_models_left_out": len(part.configurations_left_out),
        "classes": [
            {
                "axis": row.axis,
                "help": AXES[row.axis].help if row.axis else "",
                "name": shown_deep(row.name),
                "num_bytes": row.num_bytes,
                "levels": {models[model].key: list(level) for model, level in row.levels.items()},
                "gaps": {
                    f"{models[first].key} {models[second].key}": [
                        list(gap.difference),
                        gap.ratio and gap.ratio.value,
                        gap.is_clear,
                        gap.share,
                    ]
                    for (first, second), gap in row.gaps.items()
                },
            }
            for row in part.classes
        ],
    }

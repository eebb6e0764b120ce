r"""Model cards of the embedded models: measured after training, shown by ``evalkit models show NAME``.

::

    python -m evalkit.embedded.card --training runs/embedded/rwkv7-nano runs/embedded/llama-nano \
        --data wikipedia_english_20240601to20240615.json …

takes the trained models into the package and scores them, beside the classical compressors, on what was
held out of each set and on ``python-stdlib``. Documents that are near-duplicates of one that was trained on
(`evalkit.corpora.duplicates`) are left out, and counted. The held-out documents stay in the corpus
store, as ``held-out-NAME``; beside their cells lies their manifest.
"""

import argparse
import dataclasses
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evalkit.analysis.compare import compare_cells
from evalkit.analysis.positions import position_curve
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.duplicates import find_repeated
from evalkit.corpora.stdlib import NAME as STDLIB
from evalkit.corpora.store import Corpus, load_corpus, make_corpus, make_document, save_corpus
from evalkit.embedded.card_schema import (
    Beside,
    Card,
    CardPosition,
    CardPositions,
    CardScore,
    Training,
    card_of,
    training_of,
)
from evalkit.embedded.data import DataSet
from evalkit.embedded.script import run_script
from evalkit.errors import EvalkitError, UsageError
from evalkit.fields import to_json
from evalkit.files import atomic_write, file_sha256, slug, strict_json
from evalkit.models.codecs import CODECS
from evalkit.terminal import show

CARD_NAME = "card.json"
POSITION_EDGES = (0, 256, 512, 1024, 2048, 4096, 8192, 16384)
FOLDER = Path(__file__).parent


def read_card(model_path: Path) -> Card | None:
    """The card beside a checkpoint, if there is one.

    Raises:
        ModelError: it is no card; the message names the file and the field.
    """
    path = (model_path if model_path.is_dir() else model_path.parent) / CARD_NAME
    return card_of(path) if path.is_file() else None


def unread_documents(
    sets: Sequence[DataSet], more_texts: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """By name, the held-out texts of each set and the other texts, without near-duplicates of what was read.

    Args:
        sets: what was trained on, and what was held out.
        more_texts: by the name of their corpus.
    """
    texts = {data.name: data.held_out for data in sets} | dict(more_texts)
    everything = [text for group in texts.values() for text in group]
    matches = iter(find_repeated(everything, (text for data in sets for text in data.trained)))
    return {name: [text for text in group if next(matches) is None] for name, group in texts.items()}


def held_out_corpus(data: DataSet, unread: Sequence[str]) -> Corpus:
    """Those of a set's held-out documents that repeat nothing that was trained on, as a corpus.

    Of a set named ``wikipedia_english_20240601to20240615``, ``wikipedia_english`` is the source, and the
    corpus is called ``held-out-wikipedia-english-2024-06-01``.
    """
    source, first_day = data.name, ""
    if dates := re.fullmatch(r"(.+)_(\d{4})(\d{2})(\d{2})to\d{8}", data.name):
        source, first_day = dates[1], f"-{dates[2]}-{dates[3]}-{dates[4]}"
    documents = [
        make_document(text, source=source, published_at=data.date, license=data.license) for text in unread
    ]
    num_repeated = len(data.held_out) - len(unread)
    return make_corpus(
        f"held-out-{slug(source).replace('_', '-')}{first_day}",
        documents,
        description=f"of the last {len(data.held_out)} documents of {data.name}, held out when the embedded "
        f"models were trained, the {len(documents)} that repeat nothing that was trained on"
        if num_repeated
        else f"the last {len(documents)} documents of {data.name}, held out when the embedded models were "
        "trained",
        provenance={"sha256": str(data.describe()["sha256"])},
    )


def score(names: Sequence[str], held_out: Sequence[Corpus], output: Path) -> dict[str, dict[str, CorpusCell]]:
    """Cells by model and corpus; those of python-stdlib with token bits, for the curve over positions.

    Raises:
        EvalkitError: one could not be scored.
    """
    from evalkit.runner.corpora import run
    from evalkit.runner.options import RunOptions
    from evalkit.runner.progress import reporter_for

    options = RunOptions(output=output, reporter=reporter_for(sys.stderr))
    cells: dict[str, dict[str, CorpusCell]] = {}
    for corpora, token_bits in ((held_out, False), ([load_corpus(STDLIB)], True)):
        result = run([*names, *CODECS], corpora, token_bits=token_bits, options=options)
        if result.failures:
            raise EvalkitError(f"{result.failures[0].model}: {result.failures[0].reason}")
        for cell in result.cells:
            cells.setdefault(cell.model.name, {})[cell.corpus.name] = cell
    return cells


def card(
    name: str,
    training: Training,
    weights: Path,
    cells: dict[str, dict[str, CorpusCell]],
    num_repeated: Mapping[str, int],
) -> Card:
    """Everything that the card of one model says.

    Args:
        name: the model.
        training: the facts that the recipe wrote.
        weights: the checkpoint.
        cells: by model and corpus, of this model, its rivals and the compressors.
        num_repeated: near-duplicates of what was trained on, by corpus.
    """
    scores = []
    for corpus, cell in cells[name].items():
        rivals = {model: cells[model][corpus] for model in cells if model != name}
        scores.append(
            CardScore(
                corpus=corpus,
                corpus_sha256=cell.corpus.sha256,
                num_documents=cell.totals.num_documents,
                num_bytes=cell.totals.num_bytes,
                bits_per_byte=cell.bits_per_byte,
                bits_per_byte_low=cell.metrics.bits_per_byte_low,
                bits_per_byte_high=cell.metrics.bits_per_byte_high,
                beside={model: _beside(cell, rival) for model, rival in rivals.items()},
            )
        )
    [longest] = [cell for corpus, cell in cells[name].items() if corpus == STDLIB]
    points = [
        CardPosition(
            first_byte=point.first_byte,
            end_byte=point.end_byte,
            bits_per_byte=point.bits_per_byte,
            low=point.interval.low if point.interval else None,
            high=point.interval.high if point.interval else None,
        )
        for point in position_curve(longest, POSITION_EDGES)
    ]
    return Card(
        name=name,
        weights_sha256=file_sha256(weights),
        knowledge_cutoff=max(data.date for data in training.data),
        license="Apache-2.0",
        training=training,
        num_repeated=num_repeated,
        scores=tuple(scores),
        positions=CardPositions(
            corpus=longest.corpus.name, min_bytes=POSITION_EDGES[-1], bits_per_byte=tuple(points)
        ),
    )


def _beside(cell: CorpusCell, rival: CorpusCell) -> Beside:
    """Another model on the same documents, and on how many of them this one is better."""
    comparison = compare_cells(cell, rival)
    return Beside(
        bits_per_byte=rival.bits_per_byte,
        difference=comparison.difference,
        difference_low=comparison.interval.low if comparison.interval else None,
        difference_high=comparison.interval.high if comparison.interval else None,
        num_better=comparison.num_better_a,
    )


def card_lines(card: Card) -> Iterator[str]:
    """The card as text."""
    yield from _training_lines(card.training)
    yield ""
    yield f"data, the last 5 % of each set's documents held out; knowledge cutoff {card.knowledge_cutoff}"
    for data in card.training.data:
        yield (
            f"  {data.name}: {data.num_documents:,} documents, {data.num_bytes:,} bytes, up to "
            f"{data.date}, {data.license}, sha256 {data.sha256[:16]}"
        )
        for package, facts in (data.packages or {}).items():
            yield f"    {package} {facts.version}: {facts.num_bytes:,} bytes, {facts.license}"
    repeated = sum(card.num_repeated.values())
    by_corpus = ", ".join(f"{count} of {corpus}" for corpus, count in card.num_repeated.items() if count)
    yield f"near-duplicates of what was read, left out of what is scored: {repeated}" + (
        f" ({by_corpus})" if by_corpus else ""
    )
    yield ""
    yield "bits per byte ± 95 % interval, and on how many documents it is better than"
    for score in card.scores:
        spread = _spread(score.bits_per_byte_low, score.bits_per_byte_high)
        yield f"  {score.corpus}: {score.bits_per_byte:.4f}{spread} ({score.num_documents} documents)"
        for model, beside in score.beside.items():
            interval = ""
            if beside.difference_low is not None and beside.difference_high is not None:
                interval = f" [{beside.difference_low:+.4f}, {beside.difference_high:+.4f}]"
            yield (
                f"    {model:<12} {beside.bits_per_byte:.4f}   difference {beside.difference:+.4f}{interval}"
                f"   better on {beside.num_better} of {score.num_documents}"
            )
    yield ""
    positions = card.positions
    yield (
        f"bits per byte against position in the document, over the documents of {positions.corpus} of at "
        f"least {positions.min_bytes:,} bytes"
    )
    for point in positions.bits_per_byte:
        spread = _spread(point.low, point.high)
        yield f"  {point.first_byte:>6,} – {point.end_byte:>6,}   {point.bits_per_byte:.4f}{spread}"


def _training_lines(training: Training) -> Iterator[str]:
    recipe = training.recipe
    yield ""
    yield "training"
    yield f"  command          {training.command}"
    yield (
        f"  read             {training.num_bytes_read:,} bytes in {recipe.num_steps:,} steps of "
        f"{recipe.tokens_per_step:,} tokens of a vocabulary of {recipe.vocab_size:,}"
    )
    yield (
        f"  rows             of {recipe.short_row_tokens:,} tokens in the first "
        f"{recipe.num_short_steps:,} steps, then of {recipe.row_tokens:,}; seed {recipe.seed}, "
        f"products in {recipe.products}"
    )
    sweep = ", ".join(
        f"{point.learning_rate:g} → {point.held_out:.3f}" for point in training.learning_rate_sweep
    )
    yield f"  learning rate    {recipe.learning_rate:g}" + (
        f" (bits/byte after a short training: {sweep})" if sweep else ""
    )
    yield (
        f"  time             {training.wall_seconds / 60:.0f} min, "
        f"{training.cpu_seconds / 60:.0f} min of CPU, {training.num_threads} thread(s) of "
        f"{training.environment.get('cpu')}"
    )
    curve = training.curve
    for point in [*curve[:: max(1, len(curve) // 6)][:6], *curve[-1:]]:
        yield (
            f"  {point.num_bytes / 1e6:5.1f} MB read    train {point.train:.3f}, held-out prose "
            f"{point.held_out_prose:.3f}, held-out code {point.held_out_code:.3f} bits/byte"
        )


def _spread(low: float | None, high: float | None) -> str:
    """What stands behind a number: half of its interval; nothing where there is none."""
    return "" if low is None or high is None else f" ± {(high - low) / 2:.4f}"


def main() -> None:
    """Take trained models into the package and write their cards."""
    from evalkit.embedded.train import load_sets

    parser = argparse.ArgumentParser(prog="python -m evalkit.embedded.card", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--training", required=True, nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--data", required=True, nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--data-license", default="CC-BY-SA-4.0")
    parser.add_argument("--output", type=Path, default=Path("runs") / "embedded" / "cells")
    arguments = parser.parse_args()
    facts: dict[str, Training] = {}
    for folder in arguments.training:
        path = folder / "training.json"
        if not path.is_file():
            raise UsageError(
                f"--training {folder}: there is no training.json; train the model to the end first"
            )
        training = training_of(path)
        name = training.recipe.model
        facts[name] = training
        shutil.copytree(folder / "model", FOLDER / name, dirs_exist_ok=True)
        for file in ("curve.csv", "curve.png"):
            shutil.copyfile(folder / file, FOLDER / name / file)
    # The packages' set is dated by the day on which it is read: that of the training, not of the card.
    dates = {data.name: data.date for training in facts.values() for data in training.data}
    sets = [
        dataclasses.replace(data, date=dates.get(data.name, data.date))
        for data in load_sets(arguments.data, arguments.data_license)
    ]
    stdlib = [document.text for document in load_corpus(STDLIB).documents]
    unread = unread_documents(sets, {STDLIB: stdlib})
    if len(unread[STDLIB]) < len(stdlib):
        raise EvalkitError(f"{len(stdlib) - len(unread[STDLIB])} documents of {STDLIB} are among the data")
    held_out = [held_out_corpus(data, unread[data.name]) for data in sets]
    num_repeated = {
        corpus.name: len(data.held_out) - len(corpus.documents)
        for data, corpus in zip(sets, held_out, strict=True)
    }
    stored = [save_corpus(corpus) for corpus in held_out]
    cells = score(list(facts), held_out, arguments.output)
    for folder in stored:
        shutil.copyfile(folder / "manifest.json", arguments.output / folder.name / "manifest.json")
    for name, training in facts.items():
        with atomic_write(FOLDER / name / CARD_NAME) as temporary:
            content = card(name, training, FOLDER / name / "model.safetensors", cells, num_repeated)
            temporary.write_text(strict_json(to_json(content)), encoding="utf-8")
        show(f"{name}: {FOLDER / name / CARD_NAME}")


if __name__ == "__main__":
    run_script(main)

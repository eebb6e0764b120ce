"""``evalkit corpora audit``: a corpus looked at for contamination and for faults of extraction."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import JsonOption, StoreOption
from evalkit.terminal import show, show_json

if TYPE_CHECKING:
    from evalkit.corpora.audit import Audit

_SHOWN_CHARACTERS = 400
"""Of a sampled text, in a terminal."""


def audit_command(
    corpus: Annotated[str, typer.Argument(help="A name from `evalkit corpora list`, or a path.")],
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="Older corpora that it should not repeat, by commas; names or paths."),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", help="Show N documents to read.", min=0)] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample.")] = 0,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with everything.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep it beside the stored corpus, where sites find it.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Look for repetition, boilerplate, wrong languages and dates, and faults of extraction; show a sample.

    Exits with 1 if something is beyond its limit. A page and what is printed hold words of the texts
    whatever their license is; what --keep writes holds those only that anybody may show.
    """
    from evalkit.cli.parsing import comma_list, joined
    from evalkit.corpora.audit import AUDIT_FILE, publishable, write_audit
    from evalkit.corpora.auditing import audit
    from evalkit.corpora.store import BUILTIN_NAMES, list_corpora, load_corpora, load_corpus, store_folder
    from evalkit.errors import UsageError

    if keep and (corpus in BUILTIN_NAMES or corpus not in list_corpora(store)):
        raise UsageError(f"--keep: {corpus} is not in the store, so there is no place beside it; use --html")
    loaded = load_corpus(corpus, store=store)
    older = load_corpora(comma_list(joined(against)), store=store)
    same = [earlier.name for earlier in older if earlier.sha256 == loaded.sha256]
    if same:
        raise UsageError(f"--against {same[0]}: it is the corpus itself, all of which repeats it")
    audited = audit(loaded, older, seed=seed, num_sampled=sample)
    if html is not None:
        from evalkit.report.audit_page import write_audit_page

        write_audit_page(audited, html)
    if keep:
        write_audit(publishable(audited, loaded), store_folder(store) / loaded.name / AUDIT_FILE)
    findings = audited.findings()
    if as_json:
        gates = [dataclasses.asdict(finding) for finding in findings]
        show_json(dataclasses.asdict(audited) | {"findings": gates})
    else:
        for line in audit_lines(audited):
            show(line)
    if not all(finding.passed for finding in findings):
        raise typer.Exit(1)


def audit_lines(audited: "Audit") -> list[str]:
    """An audit for a terminal: verdicts with examples, tables, and the sample at the end."""
    lines = [f"{audited.corpus}: {audited.num_documents:,} documents, {audited.num_bytes:,} bytes"]
    examples = {
        "duplicates": audited.repeated.examples,
        **{f"overlap with {older.corpus}": older.examples for older in audited.older},
        "languages": audited.contradicted[:5],
        "boilerplate": [f"{example.id}: {example.text}" for example in audited.boilerplate.examples],
        **{
            fault.kind: [f"{example.id}: {_one_line(example.text)}" for example in fault.examples]
            for fault in audited.faults
        },
    }
    for finding in audited.findings():
        lines.append(f"{'passed' if finding.passed else 'FAILED'}  {finding.gate + ':':<24}{finding.text}")
        if not finding.passed:
            lines += [f"          {example}" for example in examples.get(finding.gate, ())]
    lengths = ", ".join(f"{length:,}" for length in audited.lengths)
    lines.append(f"lengths   bytes at 0, 5, 25, 50, 75, 95 and 100 %: {lengths}")
    dates = audited.dates
    lines.append(f"dates     {dates.first or '-'} to {dates.last or '-'}, {dates.num_undated:,} undated")
    for row in audited.licenses:
        shown = "republished" if row.may_republish else "not republished"
        lines.append(f"license   {row.license}: {row.num_documents:,} documents, texts are {shown}")
    for count in audited.languages:
        lines.append(
            f"language  stated {count.stated}, told {count.detected}: {count.num_documents:,} documents"
        )
    for document in audited.sample:
        head = (document.published_at, document.language, document.license, document.url)
        lines += ["", f"== {document.title or document.id}", " | ".join(text or "-" for text in head)]
        text = (document.text or "").replace("\t", " ")
        lines += [f"    {line}" for line in text[:_SHOWN_CHARACTERS].split("\n")]
    return lines


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())

"""``evalkit audit``: whether a model does what a model has to, and is the one that it should be."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import (
    DEFAULT_OUTPUT,
    DeviceOption,
    DtypeOption,
    JsonOption,
    MaxContextOption,
    OutputOption,
    PrefixOption,
    TrustOption,
    check_output_file,
    joined,
)
from evalkit.terminal import show, show_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.audit.fingerprint import Fingerprint
    from evalkit.audit.result import CheckResult, ModelAudit
    from evalkit.coding.tokenization_bound import TokenizationBound
    from evalkit.models.protocol import LoadOptions, TokenModel

_TokenizationBound = Annotated[
    str | None,
    typer.Option(
        "--tokenization-bound",
        metavar="CORPUS",
        help="Instead: bits of a corpus that are lost to one spelling by tokens.",
    ),
]
_WIDTH = 38
"""Of a check's name."""


def audit_command(
    model: Annotated[
        str, typer.Argument(help="A name from `evalkit models list`, LOADER:TARGET, or a pattern: 'rwkv7-*'.")
    ],
    long: Annotated[
        bool, typer.Option("--long", help="Also long texts: states to 131,072 tokens, whole vocabularies.")
    ] = False,
    output: OutputOption = DEFAULT_OUTPUT,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    max_context: MaxContextOption = None,
    prefix: PrefixOption = None,
    trust_remote_code: TrustOption = False,
    write_fingerprint: Annotated[
        Path | None, typer.Option("--write-fingerprint", help="Write the model's fingerprint, if it passes.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="A fingerprint that it should have: a file, or a name.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write texts and costs for ports in other languages.")
    ] = None,
    tokenization_bound: _TokenizationBound = None,
    as_json: JsonOption = False,
) -> None:
    """Check a model: its numbers are probabilities, of the text, all of it, and of nothing else.

    The result is kept with the cells, under audits/ of --output. With --against a short audit, a comparison
    with what the checkpoint should cost, and the likely fault. Exits with 1 if a check failed, or it is
    another model.
    """
    from evalkit.audit.records import audit_path, write_audit
    from evalkit.models.protocol import LoadOptions
    from evalkit.runner.options import check_writable

    expected = _checked_request(against, write_fingerprint, export, tokenization_bound, long=long)
    options = LoadOptions(device, dtype, trust_remote_code, max_context, prefix=joined(prefix))
    if tokenization_bound is not None:
        _bound_tokenization(model, options, tokenization_bound, as_json=as_json)
        return
    is_of_one = as_json or expected is not None or write_fingerprint is not None or export is not None
    specs = _specs(model, is_of_one=is_of_one)
    if expected is None:
        check_writable(output)
    if len(specs) > 1:
        _audit_each(specs, options, output, extent="long" if long else "standard")
        return
    loaded = _token_model(specs[0], options)
    extent = "short" if expected else "long" if long else "standard"
    audit = _audited(loaded, specs[0], options, extent=extent, prints=not as_json)
    if expected is not None:
        _compare(loaded, audit, expected, as_json=as_json)
        return
    write_audit(audit, audit_path(output, loaded.identity))
    if write_fingerprint is not None or export is not None:
        _write(loaded, audit, write_fingerprint, export)
    _conclude(audit, as_json=as_json)


def _specs(model: str, *, is_of_one: bool) -> list[str]:
    """The models that are meant.

    Raises:
        UsageError: no name matches a pattern, or several do and what is asked for is of one.
    """
    from evalkit.models.catalog import load_catalog
    from evalkit.models.name_patterns import only_spec, specs_of

    catalog = load_catalog()
    return [only_spec(model, catalog)] if is_of_one else specs_of(model, catalog)


def _conclude(audit: "ModelAudit", *, as_json: bool) -> None:
    """Print what an audit came to; the program exits with 1 where a check failed."""
    if as_json:
        show_json(audit.to_json())
    else:
        for line in closing_lines(audit):
            show(line)
    if not audit.passed:
        raise typer.Exit(1)


def _audit_each(specs: "Sequence[str]", options: "LoadOptions", output: Path, *, extent: str) -> None:
    """Audit models one after another; the program exits with 1 where one failed or could not be had."""
    from evalkit.audit.records import audit_path, write_audit
    from evalkit.errors import ModelError, UsageError

    num_passed, failed = 0, []
    for spec in specs:
        try:
            loaded = _token_model(spec, options)
            show(f"{loaded.identity.name}:")
            audit = _audited(loaded, spec, options, extent=extent, prints=True)
        except UsageError as error:  # of a pattern's matches a compressor
            show(f"not audited: {error}", err=True)
            continue
        except ModelError as error:
            show(f"not audited: {error}", err=True)
            failed.append(spec)
            continue
        write_audit(audit, audit_path(output, loaded.identity))
        for line in closing_lines(audit):
            show(line)
        num_passed += audit.passed
        failed += [] if audit.passed else [spec]
    listed = f"; failed or not to be had: {', '.join(failed)}" if failed else ""
    show(f"{num_passed} of {len(specs)} models passed{listed}")
    if failed:
        raise typer.Exit(1)


def _checked_request(
    against: str | None,
    write_fingerprint: Path | None,
    export: Path | None,
    tokenization_bound: str | None,
    *,
    long: bool,
) -> "Fingerprint | None":
    """The fingerprint that a port is held against; refuses, before a model is loaded, what cannot be done.

    Raises:
        UsageError: options do not go together, or there is no such fingerprint, or nothing can be written.
    """
    from evalkit.audit.export import check_export_folder
    from evalkit.audit.fingerprint import read_fingerprint
    from evalkit.errors import UsageError

    if against is not None and (write_fingerprint or export or long):
        raise UsageError("--against goes without --write-fingerprint, --export and --long")
    if tokenization_bound is not None and (against or write_fingerprint or export or long):
        raise UsageError(
            "--tokenization-bound goes without --against, --write-fingerprint, --export and --long"
        )
    if write_fingerprint is not None:
        check_output_file(write_fingerprint, "--write-fingerprint")
    if export is not None:
        check_export_folder(export)
    return None if against is None else read_fingerprint(against)


def _bound_tokenization(spec: str, options: "LoadOptions", name: str, *, as_json: bool) -> None:
    """Print how many bits are lost on a corpus to one spelling by tokens; the corpus is read first.

    Raises:
        UsageError: the model is unknown or a compressor, or there is no such corpus, or not one.
        CorpusError: it cannot be read.
        ModelError: the model cannot be loaded, or shows no distributions.
        ScoringError: see `evalkit.coding.tokenization_bound.tokenization_bound`.
    """
    from evalkit.coding.tokenization_bound import tokenization_bound
    from evalkit.corpora.store import load_corpus

    corpus = load_corpus(name)
    bound = tokenization_bound(_token_model(spec, options), corpus)
    if as_json:
        show_json(bound.to_json())
    else:
        for line in bound_lines(bound):
            show(line)


def bound_lines(bound: "TokenizationBound") -> list[str]:
    """A bound for a terminal."""
    intervals = [
        f" (95 % interval {of.low:.4f} to {of.high:.4f})" if of else " (too few documents for an interval)"
        for of in (bound.interval, bound.percent_interval)
    ]
    return [
        f"{bound.model} on {bound.corpus}: {bound.num_stretches} stretches, {bound.num_tokens:,} tokens, "
        f"{bound.num_bytes:,} bytes, {bound.num_draws} other spellings of each",
        f"  as its tokenizer spells them   {bound.bits_per_byte:.4f} bits per byte",
        f"  lost to that, at least         {bound.lost_bits_per_byte:.4f} bits per byte{intervals[0]}",
        f"                                 {bound.lost_percent:.4f} %{intervals[1]}",
    ]


def _compare(model: "TokenModel", audit: "ModelAudit", expected: "Fingerprint", *, as_json: bool) -> None:
    """Print what a port is, beside a fingerprint; the program exits with 1 where it is something else."""
    from evalkit.audit.diagnosis import diagnose, diagnosis_lines
    from evalkit.audit.fingerprint import COMPARED_SECTIONS, fingerprint_of

    # Of a port with a fault of its own the texts would say nothing more.
    compared = COMPARED_SECTIONS if audit.passed else ()
    diagnosis = diagnose(fingerprint_of(model, compared=compared), expected, audit)
    if as_json:
        show_json({"audit": audit.to_json(), "diagnosis": diagnosis.to_json()})
    else:
        for line in [*closing_lines(audit), *diagnosis_lines(diagnosis)]:
            show(line)
    if not diagnosis.passed:
        raise typer.Exit(1)


def _write(model: "TokenModel", audit: "ModelAudit", file: Path | None, folder: Path | None) -> None:
    """Write a model's fingerprint.

    Raises:
        ModelError: it failed its audit.
        UsageError: it cannot be written there.
    """
    from evalkit.audit.export import export_fingerprint
    from evalkit.audit.fingerprint import fingerprint_of, write_fingerprint
    from evalkit.errors import UsageError

    fingerprint = fingerprint_of(model, audit)
    try:
        if file is not None:
            write_fingerprint(fingerprint, file)
        if folder is not None:
            export_fingerprint(model, fingerprint, folder)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or file or folder}: {error.strerror}") from error


def _token_model(spec: str, options: "LoadOptions") -> "TokenModel":
    """The model.

    Raises:
        UsageError: it is unknown, or a compressor.
        ModelError: it cannot be loaded.
    """
    from evalkit.errors import UsageError
    from evalkit.models.loading import locate_model
    from evalkit.models.prefixes import parse_rule
    from evalkit.models.protocol import TokenModel

    if options.prefix is not None:
        options = options._replace(prefix=parse_rule(options.prefix, "--prefix"))
    loaded = locate_model(spec, options).load()
    if not isinstance(loaded, TokenModel):
        raise UsageError(f"{spec} is a compressor and has no tokens to audit; name a language model")
    return loaded


def _audited(
    model: "TokenModel", spec: str, options: "LoadOptions", *, extent: str, prints: bool
) -> "ModelAudit":
    """The audit of a model, beside the same model in float32 where it is in another type."""
    from evalkit.audit.auditing import audit_model
    from evalkit.errors import ModelError

    reference = None
    if model.identity.dtype in ("bfloat16", "float16"):
        try:
            reference = _token_model(spec, options._replace(dtype="float32"))
        except ModelError as error:
            show(f"not compared with float32: {error}", err=True)

    def print_result(result: "CheckResult") -> None:
        if prints:
            for line in check_lines(result):
                show(line)

    return audit_model(model, extent=extent, reference=reference, progress=print_result)


def check_lines(result: "CheckResult") -> list[str]:
    """A result for a terminal: what came of it, what was measured, what a failure usually is."""
    word = {"passed": "passed", "failed": "FAILED"}.get(result.outcome, "-")
    lines = [f"{word:<8}{result.name + ':':<{_WIDTH}} {result.text}"]
    if result.outcome == "failed":
        lines.append(f"{'':<8}{'usually':<{_WIDTH}} {result.fault}: {result.meaning}")
    return lines


def closing_lines(audit: "ModelAudit") -> list[str]:
    """What an audit came to."""
    lines = [f"{audit.headline()}; {audit.num_tokens_read:,} tokens read"]
    if audit.likely_fault:
        after = f" (and of that perhaps: {', '.join(audit.faults[1:])})" if audit.faults[1:] else ""
        lines.append(f"likely fault: {audit.likely_fault}{after}")
    return lines

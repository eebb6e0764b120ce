"""``evalkit audit``: whether a model does what a model has to, and is the one that it should be."""

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
    joined,
)
from evalkit.terminal import show, show_json

if TYPE_CHECKING:
    from evalkit.audit.result import CheckResult, ModelAudit
    from evalkit.models.protocol import LoadOptions, TokenModel

_WIDTH = 38
"""Of a check's name."""


def audit_command(
    model: Annotated[str, typer.Argument(help="A name from `evalkit models list`, or LOADER:TARGET.")],
    long: Annotated[
        bool, typer.Option("--long", help="Also long texts: states to 131,072 tokens, whole vocabularies.")
    ] = False,
    output: OutputOption = DEFAULT_OUTPUT,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    max_context: MaxContextOption = None,
    prefix: PrefixOption = None,
    trust_remote_code: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a model: its numbers are probabilities, of the text, all of it, and of nothing else.

    The result is kept with the cells, under audits/ of --output. Exits with 1 if a check failed.
    """
    from evalkit.audit.records import audit_path, write_audit
    from evalkit.models.protocol import LoadOptions

    options = LoadOptions(device, dtype, trust_remote_code, max_context, prefix=joined(prefix))
    loaded = _token_model(model, options)
    audit = _audited(loaded, model, options, extent="long" if long else "standard", prints=not as_json)
    write_audit(audit, audit_path(output, loaded.identity))
    if as_json:
        show_json(audit.to_json())
    else:
        for line in closing_lines(audit):
            show(line)
    if not audit.passed:
        raise typer.Exit(1)


def _token_model(spec: str, options: "LoadOptions") -> "TokenModel":
    """The model.

    Raises:
        UsageError: it is unknown, or a compressor.
        ModelError: it cannot be loaded.
    """
    from evalkit.errors import UsageError
    from evalkit.models.loading import locate_models
    from evalkit.models.prefixes import parse_rule
    from evalkit.models.protocol import TokenModel

    if options.prefix is not None:
        options = options._replace(prefix=parse_rule(options.prefix, "--prefix"))
    [located] = locate_models([spec], options)
    loaded = located.load()
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
    counts = {
        outcome: sum(check.outcome == outcome for check in audit.checks)
        for outcome in ("passed", "failed", "not applicable")
    }
    listed = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    lines = [f"{audit.model.name} in {audit.model.dtype}: {listed}; {audit.num_tokens_read:,} tokens read"]
    if audit.likely_fault:
        after = f" (and of that perhaps: {', '.join(audit.faults[1:])})" if audit.faults[1:] else ""
        lines.append(f"likely fault: {audit.likely_fault}{after}")
    return lines

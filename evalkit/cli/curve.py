"""``evalkit curve``: bits per byte along training runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.estimates import interval_text
from evalkit.cli.parsing import (
    DEFAULT_OUTPUT,
    CommaLists,
    JsonOption,
    PolicyOption,
    ResultsArgument,
    SomeCorporaOption,
    comma_list,
    joined,
)
from evalkit.displayed import counted
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.terminal import complain, show, show_json

if TYPE_CHECKING:
    from evalkit.analysis.curves import Curve
    from evalkit.analysis.estimates import Estimate

RunsOption = Annotated[CommaLists, typer.Option("--runs", help="Only these training runs, by commas.")]
_Files = Annotated[
    list[Path] | None,
    typer.Option("--output", "-o", help="File to write: .svg, .png or .pdf; several times for several."),
]


def curve_command(
    results: ResultsArgument = str(DEFAULT_OUTPUT),
    output: _Files = None,
    corpora: SomeCorporaOption = None,
    runs: RunsOption = None,
    policy: PolicyOption = DEFAULT_POLICY,
    against: Annotated[str, typer.Option("--against", help="step, tokens or flops.")] = "step",
    tokens_per_step: Annotated[
        int | None,
        typer.Option("--tokens-per-step", help="Where checkpoints do not say what was read.", min=1),
    ] = None,
    fit: Annotated[str, typer.Option("--fit", help="power, log, auto or none.")] = "auto",
    fit_from: Annotated[
        float | None, typer.Option("--fit-from", help="Fit the points from here on along the axis.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show bits per byte along training runs, with paired changes between checkpoints and a fitted law."""
    from evalkit.analysis.curves import CurveOptions, curves
    from evalkit.analysis.results import read_results

    if output:
        from evalkit.plots.frame import check_file

        for path in output:
            check_file(path)
    options = CurveOptions(
        policy=policy,
        corpora=comma_list(joined(corpora)),
        runs=comma_list(joined(runs)),
        axis=against,
        tokens_per_step=tokens_per_step,
        fit=fit,
        fit_from=fit_from,
    )
    read = read_results(results, warn=complain, with_limited=True)
    drawn = curves(read, options, warn=complain)
    if output:
        from evalkit.plots.curve import draw_curves
        from evalkit.plots.frame import save

        figure = draw_curves(read, drawn, options, warn=complain)
        for path in output:
            save(figure, path)
    if as_json:
        show_json({"against": against, "policy": policy, "curves": [curve.to_json() for curve in drawn]})
        return
    for curve in drawn:
        for line in _lines(curve, against):
            show(line)
    for path in output or ():
        show(f"wrote {path}")


def _lines(curve: "Curve", axis: str) -> list[str]:
    first, last = curve.points[0], curve.points[-1]
    lines = [
        f"{curve.run.name} on {curve.subject}: {counted(len(curve.points), 'checkpoint')}, {axis} "
        + (f"{first.x:g} to {last.x:g}" if len(curve.points) > 1 else f"{first.x:g}"),
        f"  last       {_estimate(last.level)} bits/byte",
    ]
    if last.change is not None:
        before = curve.points[-2].checkpoint.step
        lines.append(f"  change     {_estimate(last.change, '+')} since step {before}, paired")
    if curve.fit is not None:
        from evalkit.analysis.curve_fits import FITS

        values = ", ".join(f"{name} {_estimate(value)}" for name, value in curve.fit.parameters.items())
        lines.append(f"  {curve.fit.kind} law  {FITS[curve.fit.kind]}: {values}")
    return lines


def _estimate(estimate: "Estimate", sign: str = "") -> str:
    value = f"{estimate.value:{sign}.4f}"
    return value if estimate.half_width is None else f"{value} ({interval_text(estimate, sign)})"

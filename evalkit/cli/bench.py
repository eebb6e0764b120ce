"""``evalkit bench``: how fast this machine scores, beside others on the same machine."""

from typing import Annotated

import typer

app = typer.Typer(help="Time evalkit beside its peers, on this machine.")

_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.callback(invoke_without_command=True)
def bench_rwkv7_command(
    context: typer.Context,
    num_tokens: Annotated[int, typer.Option("--tokens", help="Tokens of text to score.", min=64)] = 4096,
    num_rounds: Annotated[int, typer.Option("--rounds", help="Times to measure each.", min=1)] = 3,
    num_threads: Annotated[
        int | None, typer.Option("--threads", help="Threads; all by default.", min=1)
    ] = None,
    as_json: _Json = False,
) -> None:
    """Time RWKV-7 (0.1B shape, random weights) against the PyPI package rwkv, side by side, on CPU.

    `evalkit bench kernels` times the operators alone.
    """
    if context.invoked_subcommand:
        return
    from evalkit.bench.whole_model import bench_lines, bench_rwkv7
    from evalkit.environment import environment, torch_environment
    from evalkit.files import strict_json

    result = bench_rwkv7(num_tokens=num_tokens, num_rounds=num_rounds, num_threads=num_threads)
    if as_json:
        typer.echo(strict_json({"environment": environment() | torch_environment("cpu"), **result}), nl=False)
    else:
        for line in bench_lines(result):
            typer.echo(line)


@app.command("kernels")
def bench_kernels_command(
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    num_rounds: Annotated[int, typer.Option("--rounds", help="Times to measure each.", min=1)] = 5,
    as_json: _Json = False,
    write_choices: Annotated[
        bool,
        typer.Option("--write-choices", help="Measure which backend is fastest when, and keep it."),
    ] = False,
) -> None:
    """Time WKV-7 and the scoring head against other implementations and against the machine's limits."""
    from evalkit.bench.kernels import bench_kernels, lines, rows_to_json
    from evalkit.environment import environment, torch_environment
    from evalkit.files import strict_json

    if write_choices:
        _write_choices(device, num_rounds)
        return
    rows = bench_kernels(device=device, num_rounds=num_rounds)
    if as_json:
        where = environment() | torch_environment(device)
        typer.echo(strict_json({"environment": where, "rows": rows_to_json(rows)}), nl=False)
    else:
        for line in lines(rows):
            typer.echo(line)


def _write_choices(device: str, num_rounds: int) -> None:
    """Replace this device's rows in the table of the operators, and say what they are."""
    import json

    from evalkit.bench.choices import choices_path, measure_choices
    from evalkit.environment import environment, torch_environment
    from evalkit.files import atomic_write, strict_json

    rows = measure_choices(device=device, num_rounds=num_rounds)
    path = choices_path()
    known = json.loads(path.read_text(encoding="utf-8"))
    measured = rows[0]["device"]
    known["rows"] = [row for row in known["rows"] if row["device"] != measured] + rows
    where = environment() | torch_environment(device)
    kept = ("cpu", "gpu", "cuda", "num_threads", "packages", "wkv7_cpu")
    known["measured"][measured] = {name: where[name] for name in kept}
    with atomic_write(path) as temporary:
        temporary.write_text(strict_json(known), encoding="utf-8")
    for row in rows:
        what = "forward and backward" if row["gradient"] else "forward"
        typer.echo(f"{measured}, {what}, from {row['from_tokens']} tokens: {', '.join(row['order'])}")

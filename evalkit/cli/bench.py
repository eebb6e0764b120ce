"""``evalkit bench``: how fast this machine scores, beside others on the same machine."""

import dataclasses
from typing import Annotated

import typer

from evalkit.cli.bench_compress import bench_compress_command
from evalkit.cli.bench_profile import bench_profile_command
from evalkit.cli.bench_score import bench_score_command
from evalkit.cli.parsing import DeviceOption, JsonOption
from evalkit.terminal import show, show_json

app = typer.Typer(help="Time evalkit beside its peers, on this machine.")


@app.callback(invoke_without_command=True)
def bench_rwkv7_command(
    context: typer.Context,
    num_tokens: Annotated[int, typer.Option("--tokens", help="Tokens of text to score.", min=64)] = 4096,
    num_rounds: Annotated[int, typer.Option("--rounds", help="Times to measure each.", min=1)] = 3,
    num_threads: Annotated[
        int | None, typer.Option("--threads", help="Threads; all by default.", min=1)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Time RWKV-7 (0.1B shape, random weights) against the PyPI package rwkv, side by side, on CPU.

    `evalkit bench kernels` times the operators alone, `evalkit bench score` whole models beside more peers.
    """
    if context.invoked_subcommand:
        return
    from evalkit.bench.machine import use_threads
    from evalkit.bench.whole_model import bench_lines, bench_rwkv7
    from evalkit.environment import environment, torch_environment

    if num_threads:
        use_threads(num_threads)
    result = bench_rwkv7(num_tokens=num_tokens, num_rounds=num_rounds)
    if as_json:
        content = {"environment": environment() | torch_environment("cpu"), **dataclasses.asdict(result)}
        show_json(content)
    else:
        for line in bench_lines(result):
            show(line)


app.command("compress")(bench_compress_command)
app.command("score")(bench_score_command)
app.command("profile")(bench_profile_command)


@app.command("kernels")
def bench_kernels_command(
    device: DeviceOption = "auto",
    num_rounds: Annotated[int, typer.Option("--rounds", help="Times to measure each.", min=1)] = 5,
    as_json: JsonOption = False,
    write_choices: Annotated[
        bool,
        typer.Option("--write-choices", help="Measure which backend is fastest when, and keep it."),
    ] = False,
) -> None:
    """Time WKV-7 and the scoring head against other implementations and against the machine's limits."""
    from evalkit.bench.kernels import bench_kernels, lines, rows_to_json
    from evalkit.environment import environment, torch_environment

    if write_choices:
        _write_choices(device, num_rounds)
        return
    rows = bench_kernels(device=device, num_rounds=num_rounds)
    if as_json:
        content = {"environment": environment() | torch_environment(device), "rows": rows_to_json(rows)}
        show_json(content)
    else:
        for line in lines(rows):
            show(line)


def _write_choices(device: str, num_rounds: int) -> None:
    """Replace this device's rows in the table of the operators, and say what they are."""
    import json

    from evalkit.bench.choices import choices_path, measure_choices
    from evalkit.environment import environment, torch_environment
    from evalkit.files import atomic_write, strict_json

    choices = measure_choices(device=device, num_rounds=num_rounds)
    path = choices_path()
    table = json.loads(path.read_text(encoding="utf-8"))
    measured = choices[0].device
    table["rows"] = [row for row in table["rows"] if row["device"] != measured]
    table["rows"] += [dataclasses.asdict(choice) for choice in choices]
    facts = environment() | torch_environment(device)
    names = ("cpu", "gpu", "cuda", "num_threads", "packages", "wkv7_cpu")
    table["measured"][measured] = {name: facts[name] for name in names}
    with atomic_write(path) as temporary:
        temporary.write_text(strict_json(table), encoding="utf-8")
    for choice in choices:
        passes = "forward and backward" if choice.gradient else "forward"
        show(f"{measured}, {passes}, from {choice.from_tokens} tokens: {', '.join(choice.order)}")

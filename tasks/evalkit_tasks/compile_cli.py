"""``evalkit probe compile``: a regular language as RWKV-7 weights, checked by a second reader of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.displayed import counted
from evalkit.files import whole_number
from evalkit.terminal import print_table, show

if TYPE_CHECKING:
    from evalkit_tasks.compiling.check import Check
    from evalkit_tasks.compiling.compile import Compiled, Drafted
    from evalkit_tasks.formal.readers import Reader


def compile_command(
    language: Annotated[
        str,
        typer.Argument(
            help="A regular expression, a named language, a group, random:SEED, or file:PATH "
            "(.att, .jff, .csv or .json).",
            show_default=False,
        ),
    ] = "",
    generators: Annotated[
        str, typer.Option("--generators", help='Of a permutation group, such as "(1 2 3)(4 5),(1 2)".')
    ] = "",
    layers: Annotated[
        int | None, typer.Option("--layers", help="Which form; by default the fewest layers there are.")
    ] = None,
    check_length: Annotated[
        int, typer.Option("--check-length", help="Length of the random strings that are checked.", min=1)
    ] = 20_000,
    backend: Annotated[
        str, typer.Option("--backend", help="Of the checks: auto, reference, torch, cpu or triton.")
    ] = "auto",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the weights and strings to score.")
    ] = None,
    show_layers: Annotated[
        bool,
        typer.Option("--explain", help="Say what layers, heads and registers do, and what labels mean."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the random strings.", min=0)] = 0,
) -> None:
    """Compile a regular language into RWKV-7 weights that accept exactly its strings, and check them.

    The check compares acceptance and label of every prefix, of all short strings and of long random ones,
    and shows that the same weights fail with c = 1.
    """
    from evalkit.errors import unknown_name
    from evalkit.runner.options import check_writable
    from evalkit_kernels.wkv7 import BACKENDS
    from evalkit_tasks.compiling.compile import draft_automaton
    from evalkit_tasks.formal.languages import by_prime_powers, get_language
    from evalkit_tasks.formal.readers import reader_of
    from evalkit_tasks.formal.theory import analyse

    language = _language_name(language, generators)
    automaton = by_prime_powers(get_language(language))
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS, f"Known: {', '.join(BACKENDS)}.")
    if output is not None:
        check_writable(output)
    theory = analyse(automaton)
    show(f"{automaton.name}: {theory.summary()}")
    drafted = draft_automaton(automaton, layers)
    _tell(drafted, is_explained=show_layers)
    compiled = drafted.build()
    reader = reader_of(language, automaton)
    _check(
        compiled, reader, check_length, seed, backend, needs_negative_eigenvalues=theory.is_aperiodic is False
    )
    if output is not None:
        _write(compiled, output, seed)


def _language_name(language: str, generators: str) -> str:
    """The name of what is compiled; what a file holds is told.

    Raises:
        UsageError: neither is given, or both are, or a file holds no automaton.
    """
    from evalkit.errors import UsageError
    from evalkit_tasks.formal.automaton_files import describe, read_automaton

    if language and generators:
        raise UsageError("give a language or --generators, not both")
    if not language and not generators:
        raise UsageError("name a language, or give --generators")
    if language.startswith("file:"):
        show(describe(read_automaton(Path(language.removeprefix("file:")))))
    return language or f"generators:{generators}"


def _tell(drafted: "Drafted", *, is_explained: bool) -> None:
    """Say how large the weights will be, and what their parts do where that is asked for."""
    from evalkit_tasks.compiling.explain import explain

    form = drafted.form
    show(
        f"weights: {form.num_layers} layer{'s' * (form.num_layers > 1)} ({form.name}), "
        f"{form.num_registers} registers, {drafted.num_parameters:,} parameters, c = 2"
    )
    for line in explain(drafted) if is_explained else ():
        show(line)


def _check(
    compiled: "Compiled",
    reader: "Reader",
    check_length: int,
    seed: int,
    backend: str,
    *,
    needs_negative_eigenvalues: bool,
) -> None:
    """Compare the weights with a second reader on all short strings and two long ones, and say how it went.

    With c = 1 as well, but only where that says something: an aperiodic language has weights with c = 1, if
    not these.

    Raises:
        UsageError: the backend cannot run networks of this size.
        ModelError: the weights are wrong somewhere.
    """
    import numpy as np
    import torch

    from evalkit.errors import UsageError
    from evalkit_kernels.wkv7 import cannot_serve
    from evalkit_tasks.compiling import check as compiled_check

    automaton = compiled.automaton
    network = compiled_check.build_network(compiled)
    if reason := cannot_serve(backend, *[torch.zeros(1, 1, 1, network.shape.head_size)] * 6):
        raise UsageError(f"--backend {backend} cannot serve: {reason}")
    long = compiled_check.long_strings(automaton, check_length, np.random.default_rng(seed))
    exhaustive_length = compiled_check.exhaustive_length(automaton)
    all_short = compiled_check.check_all_strings(
        network, compiled, reader, exhaustive_length, backend=backend
    )
    _report("all " if all_short.num_strings > 1 else "", automaton.name, all_short)
    drawn = compiled_check.check_strings(network, compiled, reader, long, backend=backend)
    _report("", automaton.name, drawn)
    del network  # before there is a second one
    if not needs_negative_eigenvalues:
        return
    control = compiled_check.check_strings(
        compiled_check.build_network(compiled, "off"), compiled, reader, long[:, :1000]
    )
    show(f"c = 1: {_failure(control)}")


def _report(quantifier: str, language: str, check: "Check") -> None:
    """Say that a check held.

    Raises:
        ModelError: it did not.
    """
    from evalkit.errors import ModelError

    strings = f"{quantifier}{counted(check.num_strings, 'string')} of {counted(check.length, 'letter')}"
    if check.first_wrong is not None:
        raise ModelError(
            f"{language}: the compiled weights are wrong at letter {check.first_wrong:,} ({strings})"
        )
    show(f"exact on {strings}, every prefix")


def _failure(control: "Check") -> str:
    if control.first_wrong is None:
        return (
            f"the same weights are right on strings of {counted(control.length, 'letter')} as well,"
            " which says nothing of longer ones"
        )
    return (
        f"the same weights are wrong first at letter {control.first_wrong}, and right on "
        f"{control.accuracy:.1%} of the prefixes of {control.length:,}"
    )


def _write(compiled: "Compiled", folder: Path, seed: int) -> None:
    """Write the weights and members to score with them, and say what that has to come to."""
    import json

    import numpy as np

    from evalkit.files import atomic_write
    from evalkit_tasks.compiling.compile import save
    from evalkit_tasks.formal.sampling import some_members

    weights = folder / compiled.path_name
    save(compiled, weights)
    corpus = weights.with_suffix(".jsonl")
    strings = some_members(compiled.automaton, 100, 200, np.random.default_rng(seed))
    lines = [json.dumps({"content": compiled.text(letters) + "\n"}) for letters in strings]
    with atomic_write(corpus) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    num_bits = sum(compiled.expected_bits(letters).sum() for letters in strings)
    num_bytes = sum(len(letters) + 1 for letters in strings)
    show(f"evalkit run --models rwkv7:{weights} --corpora {corpus} --output {folder / 'runs'}")
    show(f"has to come to {num_bits / num_bytes:.4f} bits per byte")


def registers_command(
    states: Annotated[str, typer.Option("--states", help="Numbers of states, FIRST-LAST.")] = "2-12",
    letters: Annotated[int, typer.Option("--letters", help="Of the alphabet.", min=2, max=10)] = 2,
    automata: Annotated[int, typer.Option("--automata", help="For each number of states.", min=1)] = 20,
) -> None:
    """Say how registers, layers and weights grow with the states of random minimal automata.

    Registers of the reverse automaton are what reading letters backwards takes, and a table of four layers
    has the number of letters to the power of twice these as entries; the layers and parameters are those of
    the form that `probe compile` chooses.
    """
    import sys
    from math import inf
    from statistics import median

    from rich.table import Table

    from evalkit.errors import UsageError
    from evalkit_tasks.compiling.growth import growth_factor, measure
    from evalkit_tasks.formal.automaton import MAX_REVERSE_STATES
    from evalkit_tasks.formal.languages import MAX_RANDOM_STATES

    def states_text(num_states: float) -> str:
        return f"{num_states:g}" if num_states < inf else f"> {MAX_REVERSE_STATES}"

    first, last = map(whole_number, states.partition("-")[::2])
    if first is None or last is None or not 2 <= first < last <= MAX_RANDOM_STATES:
        raise UsageError(f"--states {states}: write FIRST-LAST, from 2 to {MAX_RANDOM_STATES}, such as 2-12")
    rows = [measure(number, letters, automata) for number in range(first, last + 1)]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("states", "reverse, median", "most", "<= 32", "table", "compile", "layers", "parameters, M"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row.num_states),
            states_text(row.median_reverse),
            states_text(max(row.num_reverse_states)),
            f"{row.share_of_few_registers:.0%}",
            f"10^{row.log10_table(letters):.1f}" if row.median_reverse < inf else "",
            f"{len(row.num_layers)}/{automata}",
            f"{min(row.num_layers)}-{max(row.num_layers)}" if row.num_layers else "",
            f"{median(row.num_parameters) / 1e6:.1f}" if row.num_parameters else "",
        )
    print_table(table, sys.stdout)
    if factor := growth_factor(rows):
        show(f"a state more makes the reverse automaton {factor:.2f} times as large")

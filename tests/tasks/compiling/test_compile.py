"""Compiled weights accept exactly their language, as files that evalkit loads like any other."""

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from typer.testing import CliRunner

import evalkit
from evalkit.errors import ModelError, UsageError
from evalkit.models.rwkv7.checkpoint import load_network, recorded_eigenvalues
from evalkit.models.rwkv7.network import RWKV7
from evalkit_tasks.cli import app
from evalkit_tasks.compiling.check import (
    build_network,
    check_all_strings,
    check_strings,
    exhaustive_length,
    long_strings,
)
from evalkit_tasks.compiling.compile import (
    END,
    REJECTION_BITS,
    START_TOKEN,
    Compiled,
    compile_automaton,
    draft_automaton,
    save,
)
from evalkit_tasks.compiling.explain import explain
from evalkit_tasks.compiling.forms import forms, table_size
from evalkit_tasks.compiling.growth import Growth, growth_factor
from evalkit_tasks.compiling.registers import apply_steps, program, registers_of
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.languages import by_prime_powers, get_language
from evalkit_tasks.formal.readers import Reader, reader_of
from evalkit_tasks.formal.sampling import live_walks, members, uniform_strings
from evalkit_tasks.formal.theory import analyse


def _compiled(name: str, num_layers: int | None = None) -> tuple[Compiled, RWKV7, Reader]:
    """The weights, the network, and the reader of the language that is no automaton."""
    automaton = get_language(name)
    compiled = compile_automaton(automaton, num_layers)
    return compiled, build_network(compiled), reader_of(name, automaton)


_BINARY = ["parity", "even-pairs", "repeat01", *(f"tomita-{number}" for number in range(1, 8))]


@pytest.mark.parametrize("name", [*_BINARY, "mod-7", "(0|1)*1(0|1)"])
def test_exact_on_all_strings_up_to_12_letters(name: str) -> None:
    compiled, network, reader = _compiled(name)
    assert exhaustive_length(compiled.automaton) == 12
    check = check_all_strings(network, compiled, reader, 12)
    assert (check.num_strings, check.num_prefixes) == (4096, 8191)
    assert check.first_wrong is None
    # The two ways of checking agree, also where there is something to find.
    control = build_network(compiled, "off")
    words = np.array(list(itertools.product(range(2), repeat=4)))
    of_all, of_words = (
        check_all_strings(control, compiled, reader, 4),
        check_strings(control, compiled, reader, words),
    )
    assert of_all.first_wrong == of_words.first_wrong


@pytest.mark.parametrize(
    ("name", "form", "num_layers", "num_registers"),
    [
        ("parity", "direct", 1, 2),
        ("flip-flop", "direct", 1, 3),
        ("s5-swaps", "direct", 1, 5),
        ("s5-4swaps", "direct", 1, 5),
        ("tomita-3", "table", 4, 5),
        ("mod-7", "table", 4, 7),
        ("cycle-navigation", "table", 4, 5),
        ("s3", "table", 4, 3),
        ("s4", "scan", 6, 4),
        ("a5", "scan", 7, 5),
        ("s5", "scan", 7, 5),
        ("mod-8", "scan", 8, 8),
    ],
)
def test_exact_on_300_letters_and_wrong_with_c_1(
    name: str, form: str, num_layers: int, num_registers: int
) -> None:
    compiled, network, reader = _compiled(name)
    assert (compiled.form, compiled.num_layers) == (form, num_layers)
    assert compiled.num_registers == num_registers and len(network.shape.layers) == num_layers
    generator = np.random.default_rng(0)
    drawn = [draw(compiled.automaton, 300, 4, generator) for draw in (uniform_strings, live_walks)]
    strings = np.concatenate(drawn)
    assert check_strings(network, compiled, reader, strings).first_wrong is None
    control = check_strings(build_network(compiled, "off"), compiled, reader, strings)
    assert control.first_wrong is not None
    # A register that is mixed up instead of copied may still be right most of the time; a swap may not.
    assert analyse(compiled.automaton).is_aperiodic or control.accuracy < 0.9


@pytest.mark.parametrize(
    ("name", "num_layers", "num_registers"),
    [("parity", 4, 2), ("parity", 5, 2), ("tomita-3", 7, 5), ("mod-12", 8, 12), ("mod-13", 10, 13)],
)
def test_exact_in_the_other_forms(name: str, num_layers: int, num_registers: int) -> None:
    compiled, network, reader = _compiled(name, num_layers)
    assert (compiled.num_layers, compiled.num_registers) == (num_layers, num_registers)
    strings = long_strings(compiled.automaton, 110, np.random.default_rng(1))
    assert check_strings(network, compiled, reader, strings).first_wrong is None


@pytest.mark.parametrize(
    ("name", "length", "backend"),
    [
        ("parity", 100_000, "cpu"),
        ("s5-swaps", 100_000, "cpu"),
        ("s5-swaps", 20_000, "torch"),
        ("tomita-3", 20_000, "cpu"),
        ("tomita-5", 20_000, "torch"),
        ("tomita-5", 2_000, "reference"),
        ("a5", 2_000, "torch"),
    ],
)
def test_exact_on_long_strings(name: str, length: int, backend: str) -> None:
    compiled, network, reader = _compiled(name)
    strings = long_strings(compiled.automaton, length, np.random.default_rng(2))
    assert check_strings(network, compiled, reader, strings, backend=backend).first_wrong is None


def test_exact_through_triton_s_interpreter() -> None:
    script = """
import numpy as np
from evalkit_tasks.compiling.compile import compile_automaton
from evalkit_tasks.compiling.check import build_network, check_strings, long_strings
from evalkit_tasks.formal.languages import get_language
from evalkit_tasks.formal.readers import reader_of
compiled = compile_automaton(get_language("tomita-6"))
reader = reader_of("tomita-6", compiled.automaton)
strings = long_strings(compiled.automaton, 18, np.random.default_rng(0))
print(check_strings(build_network(compiled), compiled, reader, strings, backend="triton"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "num_strings=2, length=18, num_prefixes=38, num_wrong=0" in done.stdout, done.stderr


def test_registers_stay_exact_after_20_000_tokens() -> None:
    # All products in the last layer are of powers of two; see `compiled_layers`.
    compiled, network, _ = _compiled("s5-swaps")
    strings = uniform_strings(compiled.automaton, 20_000, 1, np.random.default_rng(3))
    ids = np.concatenate((np.full((1, 1), START_TOKEN), compiled.letter_bytes[strings]), 1)
    with torch.inference_mode():
        state = network.zero_state(1)
        for first in range(0, ids.shape[1], 4096):
            _, state = network(torch.from_numpy(ids[:, first : first + 4096]), state)
    columns = state.wkv[0, 0, :-1, 0, :10]  # the first value coordinate of each register, twice each
    assert (columns.abs() == columns[0, 0].abs()).all()


def test_layer_normalisation_changes_nothing() -> None:
    # Features make its mean 0 and its variance known: that is what lets a feature be read as it was written.
    compiled, network, _ = _compiled("tomita-7")
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    for module in network.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    letters = np.random.default_rng(4).integers(2, size=(2, 50))
    with torch.inference_mode():
        network(torch.from_numpy(np.insert(compiled.letter_bytes[letters], 0, START_TOKEN, axis=1)))
    assert len(seen) == 10  # one on the embedding, two in each of 4 layers, one before the head
    for before, after in seen:
        torch.testing.assert_close(after, before, rtol=0, atol=2e-5)


def test_bits_are_known_in_advance_and_rejection_is_dear(tmp_path: Path) -> None:
    automaton = get_language("tomita-4")
    compiled = compile_automaton(automaton)
    save(compiled, tmp_path / "tomita-4.safetensors")
    model = evalkit.load_model(f"rwkv7:{tmp_path}/tomita-4.safetensors", device="cpu")
    assert isinstance(model, evalkit.TokenModel)
    for accepted in (True, False):
        for letters in members(automaton, 40, 5, np.random.default_rng(5), accepted=accepted):
            bits = model.nats([model.encode(compiled.text(letters) + "\n").ids])[0] / np.log(2)
            expected = compiled.expected_bits(letters)
            np.testing.assert_allclose(bits[:-1], expected[:-1], atol=1e-4)
            assert np.isfinite(expected[-1]) == accepted
            if accepted:
                assert abs(bits[-1] - expected[-1]) < 1e-4
            else:
                assert bits[-1] > REJECTION_BITS


def test_scored_by_evalkit_run_as_computed_by_the_automaton(tmp_path: Path) -> None:
    command = CliRunner().invoke(
        app, ["compile", "s5-swaps", "--check-length", "50", "--output", str(tmp_path)]
    )
    assert command.exit_code == 0, command.output
    assert "weights: 1 layer (direct), 5 registers" in command.output
    assert "exact on all 1,331 strings of 3 letters" in command.output
    assert "exact on 2 strings of 50 letters" in command.output
    promised = float(command.output.split("has to come to ")[1].split()[0])
    result = evalkit.run(
        models=[f"rwkv7:{tmp_path}/s5-swaps.safetensors"],
        corpora=[str(tmp_path / "s5-swaps.jsonl")],
        options=evalkit.RunOptions(output=tmp_path / "runs", device="cpu"),
    )
    [ranked] = result.ranking()
    assert abs(ranked.bits_per_byte - promised) < 1e-4
    lines = (tmp_path / "s5-swaps.jsonl").read_text().splitlines()
    texts = [json.loads(line)["content"] for line in lines]
    assert len(texts) == 100 and all(text.endswith("\n") for text in texts)
    # Independent of the compiler: 11 letters, and a twelfth choice wherever the product is the identity.
    places: list[int]
    num_bits = 0.0
    swaps = [(x, y) for x in range(5) for y in range(x + 1, 5)]
    for text in texts:
        places = list(range(5))
        for byte in text:
            num_bits += np.log2(11 + (places == list(range(5))))
            if byte not in "0\n":
                x, y = swaps["123456789a".index(byte)]
                places[x], places[y] = places[y], places[x]
        assert places == list(range(5))
    assert abs(num_bits / sum(map(len, texts)) - promised) < 1e-4


def test_the_size_is_known_and_bounded_before_anything_is_built() -> None:
    drafted = draft_automaton(get_language("tomita-3"))
    assert drafted.num_parameters == drafted.build().num_parameters
    with pytest.raises(UsageError, match=r"would be 531,039,360 parameters, 2.1 GB; the most is 300,000,000"):
        draft_automaton(get_language("a{20}")).build()


def test_counting_takes_a_register_for_each_point_of_its_prime_powers() -> None:
    counting = get_language("mod-60")
    word_problem = by_prime_powers(counting)
    registers = registers_of(word_problem)
    assert registers is not None and registers.num_registers == 3 + 4 + 5
    strings = np.random.default_rng(0).integers(2, size=(20, 200))
    assert (word_problem.accepts(strings) == counting.accepts(strings)).all()
    assert (word_problem.label(strings) == strings.cumsum(1) % 60).all()
    assert by_prime_powers(get_language("mod-1")).num_states == 1


@pytest.mark.parametrize(("language", "is_evidence"), [("parity", True), ("0*1", False)])
def test_failing_with_c_1_is_said_only_of_languages_that_need_more(language: str, is_evidence: bool) -> None:
    command = CliRunner().invoke(app, ["compile", language, "--check-length", "20"])
    assert command.exit_code == 0 and ("c = 1:" in command.output) == is_evidence


def test_strings_too_short_to_show_that_c_1_fails_are_no_evidence_that_it_does() -> None:
    command = CliRunner().invoke(app, ["compile", "regex:(aa)*", "--check-length", "1"])
    assert command.exit_code == 0, command.output
    assert "exact on 1 string of 12 letters, every prefix" in command.output
    said = (
        "c = 1: the same weights are right on strings of 1 letter as well, which says nothing of longer ones"
    )
    assert command.output.splitlines()[-1] == said


def test_after_a_byte_that_is_no_letter_nothing_is_accepted() -> None:
    network = _compiled("tomita-1")[1]
    with torch.inference_mode():
        logits = network.head(network(torch.tensor([[START_TOKEN, *b"11x11111"]]))[0])[0]
    assert (logits[:, END] > 0).tolist() == [True] * 3 + [False] * 6


def test_weights_are_checked_by_a_reader_that_is_no_automaton(monkeypatch: pytest.MonkeyPatch) -> None:
    # Weights of what the automaton says, which is wrong: the last two states are exchanged.
    table = np.array([[1, 2], [1, 0], [2, 1]])
    wrong = Automaton.from_table("mod-3", "01", table, accepting=[0])
    monkeypatch.setattr("evalkit_tasks.formal.languages.get_language", lambda name: wrong)
    monkeypatch.setattr("evalkit_tasks.formal.languages.by_prime_powers", lambda automaton: automaton)
    with pytest.raises(ModelError, match="mod-3: the compiled weights are wrong at letter 1"):
        CliRunner().invoke(app, ["compile", "mod-3", "--check-length", "5"], catch_exceptions=False)


def test_what_is_explained_is_what_the_weights_do() -> None:
    drafted = draft_automaton(get_language("s3"))
    lines = list(explain(drafted))
    compiled = drafted.build()
    network = build_network(compiled)
    assert sum(line.startswith("layer ") for line in lines) == len(network.shape.layers)
    assert (
        "register 1: what came to point 1, from 1 at first; a letter takes register (012: 1, 021: 2"
        in str(lines)
    )
    # The labels that it says decode what the network answers, here by permutations composed by hand.
    said = dict(part.split(": the product ") for part in lines[-1].split(": ", 1)[1].split(", "))
    word = np.random.default_rng(0).integers(6, size=(1, 30))
    with torch.inference_mode():
        ids = torch.from_numpy(np.insert(compiled.letter_bytes[word], 0, START_TOKEN, axis=1))
        answers = 128 + network.head(network(ids)[0])[0, 1:, 128:134].argmax(-1)
    images = "012"
    for letter, answer in zip(word[0].tolist(), answers.tolist(), strict=True):
        permutation = compiled.automaton.alphabet[letter]
        images = "".join(permutation[int(image)] for image in images)
        assert said[str(answer)] == images


def test_registers_hold_what_is_explained() -> None:
    # In one layer the registers are columns of the state, two each; here that of "was the last bit a 1".
    drafted = draft_automaton(get_language("flip-flop"))
    assert any(line.startswith("register 0: 1 in the state after 1, else -1;") for line in explain(drafted))
    compiled = drafted.build()
    network = build_network(compiled)
    for word, expected in (("", -1), ("1", 1), ("1--", 1), ("10-", -1)):
        with torch.inference_mode():
            ids = torch.tensor([[START_TOKEN, *compiled.text(compiled.automaton.encode(word)).encode()]])
            _, state = network(ids)
        assert torch.equal(state.wkv[0, 0, 0, 0, :2].sign(), torch.tensor([expected, expected]).float())


def test_generators_are_a_name() -> None:
    command = CliRunner().invoke(
        app, ["compile", "--generators", "(1 2 3)(4 5),(1 2)", "--check-length", "20"]
    )
    assert command.exit_code == 0, command.output
    assert command.output.startswith("generators:(1 2 3)(4 5),(1 2): solvable group; states: 12 (minimal)")


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.integers(0, n - 1), min_size=n, max_size=n)))
def test_programs_do_what_they_should_in_fewer_steps_than_registers(images: list[int]) -> None:
    steps = program(tuple(images))
    assert apply_steps(steps, len(images)) == tuple(images)
    assert len(steps) <= len(images) - 1


def test_registers_of_a_recogniser_are_the_states_of_its_reverse() -> None:
    for name in ("tomita-3", "tomita-7", "even-pairs", "random:3", "dyck-2-3"):
        automaton = get_language(name)
        registers = registers_of(automaton)
        assert registers is not None and registers.num_registers == automaton.reverse().num_states


def test_what_a_table_holds() -> None:
    # 2 letters in blocks of 4: (2^4 + 1) blocks before, 2 + 4 + 8 + 16 beginnings of the block at hand.
    tomita_3 = get_language("tomita-3")
    registers = registers_of(tomita_3)
    assert registers is not None and table_size(registers) == 17 * 30
    assert _forms(tomita_3) == {4: "table", 7: "scan", 8: "one-hot"}
    assert _forms(get_language("a5")) == {7: "scan"}


def _forms(automaton: Automaton) -> dict[int, str]:
    return {num_layers: form.name for num_layers, form in forms(automaton).items()}


def test_a_register_for_each_state_where_the_reverse_has_too_many() -> None:
    # 6 states read backwards are more than any head has room for.
    compiled, network, reader = _compiled("random:8:6")
    automaton = compiled.automaton
    assert automaton.reverse().num_states > 32 and _forms(automaton) == {8: "one-hot"}
    assert check_all_strings(network, compiled, reader, 5).num_wrong == 0
    strings = long_strings(automaton, 400, np.random.default_rng(0))
    assert check_strings(network, compiled, reader, strings).num_wrong == 0
    # The 1 that the start writes has been moved and added 400 times, and no bit of it is lost; a register
    # is two coordinates.
    with torch.inference_mode():
        _, first = network(torch.full((2, 1), START_TOKEN))
        _, last = network(torch.from_numpy(compiled.letter_bytes[strings]), first)
    first_held, last_held = (state.wkv[-1, :, 0, 0, : 2 * 2 * 6] for state in (first, last))
    assert (last_held > 0.999).sum(1).tolist() == [2, 2] and (last_held.abs() > 1e-5).sum(1).tolist() == [
        2,
        2,
    ]
    assert last_held.amax(1).tolist() == first_held.amax(1).tolist()


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_random_automata_in_every_form_are_what_their_table_says(seed: int) -> None:
    name = f"random:{seed}:3:2"
    automaton = get_language(name)
    reader = reader_of(name, automaton)
    assert "one-hot" in _forms(automaton).values()
    for num_layers in _forms(automaton):
        compiled = compile_automaton(automaton, num_layers)
        network = build_network(compiled)
        assert check_all_strings(network, compiled, reader, 6).num_wrong == 0
        strings = long_strings(automaton, 100, np.random.default_rng(seed))
        assert check_strings(network, compiled, reader, strings).num_wrong == 0


def test_how_registers_grow_is_said() -> None:
    command = CliRunner().invoke(app, ["registers", "--states", "2-3", "--automata", "2"])
    assert command.exit_code == 0, command.output
    rows = [line.split() for line in command.output.splitlines()]
    assert rows[1][:5] == ["2", "3", "4", "100%", "10^1.8"] and rows[2][5] == "2/2"
    assert rows[2][:2] == ["3", "5"]
    assert command.output.splitlines()[-1] == "a state more makes the reverse automaton 1.67 times as large"
    with pytest.raises(UsageError, match=r"--states 3-2: write FIRST-LAST, from 2 to 64"):
        CliRunner().invoke(app, ["registers", "--states", "3-2"], catch_exceptions=False)


def test_what_is_too_large_to_count_is_no_number_that_growth_is_taken_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [Growth(n, (size, size), (), ()) for n, size in ((2, 8.0), (3, 16.0), (4, math.inf))]
    assert growth_factor(rows) == pytest.approx(2.0)  # and not 1.41 or so, as if 4 states made 16
    assert growth_factor(rows[1:]) is None
    monkeypatch.setattr("evalkit_tasks.compiling.growth.measure", lambda states, *_: rows[states - 2])
    command = CliRunner().invoke(app, ["registers", "--states", "3-4", "--automata", "2"])
    assert command.exit_code == 0, command.output
    lines = [line.split() for line in command.output.splitlines()]
    assert lines[1:] == [["3", "16", "16", "100%", "10^9.6", "0/2"], ["4", *[">", "4096"] * 2, "0%", "0/2"]]


def test_labels_are_read_off_the_states() -> None:
    compiled, network, reader = _compiled("cycle-navigation", 8)
    assert (compiled.form, compiled.num_registers) == ("one-hot", 5)
    strings = long_strings(compiled.automaton, 60, np.random.default_rng(0))
    assert check_strings(network, compiled, reader, strings).num_wrong == 0


def test_the_file_says_what_c_its_weights_need(tmp_path: Path) -> None:
    compiled = compile_automaton(get_language("parity"))
    options = {"dtype": torch.float32, "device": torch.device("cpu")}
    for strength, eigenvalues in ((2.0, "full"), (1.0, "off")):
        path = tmp_path / f"{eigenvalues}.safetensors"
        save(compiled, path, negative_eigenvalues=eigenvalues)
        assert recorded_eigenvalues(path) == eigenvalues
        assert load_network(path, **options).blocks[0].att.removal_strength == strength
    save_file(compiled.tensors, path, metadata={"negative_eigenvalues": "some"})
    with pytest.raises(ModelError, match="says negative_eigenvalues some; evalkit knows off, stable, full"):
        load_network(path, **options)
    torch.save(compiled.tensors, tmp_path / "plain.pth")
    assert recorded_eigenvalues(tmp_path / "plain.pth") == "off"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tomita-33"], "Did you mean tomita-3"),
        (["(0|1"], "is not a regular expression"),
        (["0&1"], "its language over 0, 1 is empty"),
        (["random:1:30"], "more than 24 states, and its reverse automaton more than 32"),
        (["a5", "--layers", "4"], "a5 compiles to 7 layers, not 4 .the table of 4 layers would have"),
        (["tomita-3", "--layers", "1"], "tomita-3 compiles to 4 or 7 or 8 layers, not 1"),
        (["parity", "--backend", "cuda"], "unknown backend 'cuda'"),
        (["parity", "--backend", "triton"], "--backend triton cannot serve"),
        (["parity", "--output", "/dev/null"], "cannot write to the output folder /dev/null"),
        (["file:no.att"], "no.att: No such file"),
        (["parity", "--generators", "(1 2)"], "a language or --generators, not both"),
        ([], "name a language, or give --generators"),
        (["--generators", "(1 2"], "write generators as cycles"),
        (["s4xz6"], "144 letters; a byte-level network has room for 126"),
    ],
)
def test_what_cannot_be_compiled_is_one_clear_line(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        CliRunner().invoke(app, ["compile", *arguments], catch_exceptions=False)
    assert "\n" not in str(error.value)

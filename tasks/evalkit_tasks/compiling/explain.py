"""What the layers, heads and registers of compiled weights do, and what their labels mean, in words."""

import itertools
from collections.abc import Iterator

from evalkit_tasks.compiling.compile import END, FIRST_LABEL, START_TOKEN, Drafted
from evalkit_tasks.compiling.registers import StateRegisters
from evalkit_tasks.formal.automaton import Automaton

_MAX_LETTERS = 12
"""Of a line that says what each letter does."""


def explain(drafted: Drafted) -> Iterator[str]:
    """Lines that say what is where in the weights.

    Tokens, then the registers (what each holds and how letters rewrite it), then layer by layer what is known
    after it and what each head's state matrix holds, then which logit means which label.
    """
    automaton, registers = drafted.automaton, drafted.form.registers
    letters = [
        f"{letter} is {chr(byte)!r}"
        for letter, byte in zip(automaton.alphabet, drafted.letter_bytes.tolist(), strict=True)
    ]
    yield f"tokens: {_listed(letters)}; {START_TOKEN} starts a document"
    for number, meaning in enumerate(registers.meanings):
        sources = _listed(
            [
                f"{letter}: {source}"
                for letter, source in zip(automaton.alphabet, registers.maps[:, number].tolist(), strict=True)
            ]
        )
        verb = "moves it to register" if isinstance(registers, StateRegisters) else "takes register"
        yield f"register {number}: {meaning}; a letter {verb} ({sources})"
    if drafted.draft.block > 1:
        yield (
            f"blocks of {drafted.draft.block} letters: what one does to the registers is carried out, "
            "a step a letter, during the next"
        )
    for number, layer in enumerate(drafted.draft.layers):
        yield f"layer {number}: {layer.purpose}; {len(layer.units):,} hidden units"
        numbered = itertools.groupby(enumerate(layer.heads), lambda pair: pair[1].purpose)
        for purpose, heads in numbered:
            head_numbers = [head_number for head_number, _ in heads]
            span = f"{head_numbers[0]}" + (f" to {head_numbers[-1]}" if len(head_numbers) > 1 else "")
            yield f"  head {span}: {purpose}"
    yield f"logit {END} (end of line) is above 0 exactly where the string so far is accepted"
    yield _labels(automaton)


def _labels(automaton: Automaton) -> str:
    if FIRST_LABEL + automaton.num_labels > START_TOKEN:
        return f"labels: {automaton.num_labels} are more than there are logits for, so they are not read out"
    names = [str(label) for label in range(automaton.num_labels)]
    if automaton.group is not None and automaton.num_labels == automaton.group.order:
        names = [f"the product {name}" for name in automaton.group.element_names]
    elif automaton.is_recogniser:
        names = ["rejected", "accepted"]
    logits = [f"{FIRST_LABEL + label}: {name}" for label, name in enumerate(names)]
    return "labels, the largest of these logits: " + ", ".join(logits)


def _listed(texts: list[str]) -> str:
    return ", ".join(texts[:_MAX_LETTERS]) + (", …" if len(texts) > _MAX_LETTERS else "")

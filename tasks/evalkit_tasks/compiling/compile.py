r"""Any regular language as explicit RWKV-7 weights that accept exactly its strings.

The construction follows the proof that RWKV-7 recognises every regular language (arXiv 2503.14456, theorem 3
and appendix D), derived anew: registers that letters rewrite (`evalkit_tasks.compiling.registers`), one
elementary rewriting per token and layer, which takes a removal strength c = 2 (``negative_eigenvalues =
"full"``). `evalkit_tasks.compiling.forms` has the four forms that this can take.

Logits are those of a byte-level language model with a document start (vocabulary 257): uniform over the
letters, and over the end of the line as well exactly where the string so far is in the language. So
``bits("w\n")`` is a sum of ``log2(letters)`` and ``log2(letters + 1)``, known in advance, for a member, and
above `REJECTION_BITS` for any other string. The label of the string so far is the largest logit among the
bytes from `FIRST_LABEL` on, which have no probability to speak of.
"""

import dataclasses
import hashlib
import json
import re
import string
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from evalkit.errors import UsageError
from evalkit.files import atomic_write
from evalkit_tasks.compiling.forms import MAX_TABLE, TOO_LARGE, Form, forms, table_size
from evalkit_tasks.compiling.layers import FOREIGN, LETTER, START
from evalkit_tasks.compiling.registers import Readout, registers_of
from evalkit_tasks.compiling.steps import Draft
from evalkit_tasks.compiling.weights import ONE, Feature, Features, Weighted, assemble, tensor_shapes
from evalkit_tasks.formal.automaton import Automaton

VOCAB_SIZE = 257
START_TOKEN = 256
END = ord("\n")
FIRST_LABEL = 128

MAX_PARAMETERS = 300_000_000
"""Of the weights: 1.2 GB, of which the check holds as much again."""

_LOGIT = 16.0
REJECTION_BITS = 40.0
"""A line that is not in the language costs more than this many bits more than its letters."""

_BYTES = string.digits + string.ascii_letters + string.punctuation + " "
_SPARE_BYTES = "".join(chr(code) for code in range(1, 128) if chr(code) not in _BYTES and code != END)


@dataclasses.dataclass(frozen=True, eq=False)
class Compiled:
    """The weights of a language, and what is known of them."""

    automaton: Automaton
    form: str
    """``direct``, ``table``, ``scan`` or ``one-hot``; see `evalkit_tasks.compiling.forms`."""
    num_layers: int
    block: int
    """Letters per block; 1 in the direct form."""
    num_registers: int
    letter_bytes: NDArray[np.int64]
    """``[num_letters]``: the byte that stands for each letter."""
    tensors: dict[str, Tensor]
    """By the names of official files."""

    @property
    def path_name(self) -> Path:
        """A file name for the weights; a regular expression's ends in a digest, since it cannot be spelt."""
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", self.automaton.name).strip("_")
        if name != self.automaton.name:
            name += "-" + hashlib.sha256(self.automaton.name.encode()).hexdigest()[:8]
        return Path(f"{name}.safetensors")

    @property
    def num_parameters(self) -> int:
        """How many numbers the weights are."""
        return sum(value.numel() for value in self.tensors.values())

    def text(self, letters: NDArray[np.int64]) -> str:
        """A string in the bytes that the network reads."""
        return bytes(self.letter_bytes[letters].tolist()).decode("ascii")

    def expected_bits(self, letters: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each letter of a string costs, and the end of the line after it where it is a member.

        Returns:
            ``[T + 1]``; the last is infinite where the string is not in the language.
        """
        start = self.automaton.start in self.automaton.accepting
        accepted = np.concatenate(([start], self.automaton.accepts(letters)))
        bits = np.log2(self.automaton.num_letters + accepted)
        return np.where(np.append(np.ones(len(letters), bool), accepted[-1]), bits, np.inf)


@dataclasses.dataclass(frozen=True, eq=False)
class Drafted:
    """A language's weights by name: how large they will be is known, and nothing of them is in memory."""

    automaton: Automaton
    form: Form
    letter_bytes: NDArray[np.int64]
    features: Features
    embedding: list[list[tuple[Feature, float]]]
    draft: Draft

    @property
    def num_parameters(self) -> int:
        """How many numbers the weights will be."""
        shapes = tensor_shapes(self.features, VOCAB_SIZE, self.draft.layers, self.draft.head_size)
        return sum(shape.numel() for shape in shapes.values())

    def build(self) -> Compiled:
        """The weights.

        Raises:
            UsageError: they are more than `MAX_PARAMETERS`.
        """
        num_parameters = self.num_parameters
        if num_parameters > MAX_PARAMETERS:
            raise UsageError(
                f"{self.automaton.name}: its weights would be {num_parameters:,} parameters, "
                f"{4 * num_parameters / 1e9:.1f} GB; the most is {MAX_PARAMETERS:,}"
            )
        tensors = assemble(
            self.features,
            self.embedding,
            2 + self.draft.num_embedded,
            self.draft.layers,
            _head(self.form.readout, self.letter_bytes, self.draft.bits),
            self.draft.head_size,
        )
        return Compiled(
            self.automaton,
            self.form.name,
            self.form.num_layers,
            self.draft.block,
            self.form.num_registers,
            self.letter_bytes,
            tensors,
        )


def compile_automaton(automaton: Automaton, num_layers: int | None = None) -> Compiled:
    """The weights of a language; see `draft_automaton` and `Drafted.build`."""
    return draft_automaton(automaton, num_layers).build()


def draft_automaton(automaton: Automaton, num_layers: int | None = None) -> Drafted:
    """What the weights of a language will be.

    Args:
        automaton: of the language.
        num_layers: which form; by default the one with the fewest layers.

    Raises:
        UsageError: the language needs too many registers, has no form with so many layers, or has more
            letters than there are bytes for them.
    """
    letter_bytes = choose_bytes(automaton)
    form_by_num_layers = forms(automaton)
    if num_layers is None:
        num_layers = min(form_by_num_layers)
    if num_layers not in form_by_num_layers:
        reason = ""
        registers = registers_of(automaton)
        if num_layers == 4 and registers is not None:
            size = table_size(registers)
            entries = f"{size:,} entries" if size < TOO_LARGE else "blocks of more than 12 letters"
            reason = f" (the table of 4 layers would have {entries}; the most is {MAX_TABLE:,})"
        counts = " or ".join(str(count) for count in sorted(form_by_num_layers))
        raise UsageError(f"{automaton.name} compiles to {counts} layers, not {num_layers}{reason}")
    form = form_by_num_layers[num_layers]
    features = Features()
    features.add([ONE, START, LETTER, FOREIGN])
    embedding: list[list[tuple[Feature, float]]] = [[(ONE, 1.0), (FOREIGN, 1.0)] for _ in range(VOCAB_SIZE)]
    embedding[START_TOKEN] = [(ONE, 1.0), (START, 1.0)]
    for byte in letter_bytes.tolist():
        embedding[byte] = [(ONE, 1.0), (LETTER, 1.0)]
    draft = form.build(features, embedding, [*letter_bytes.tolist(), START_TOKEN])
    return Drafted(automaton, form, letter_bytes, features, embedding, draft)


def save(compiled: Compiled, path: Path, *, negative_eigenvalues: str = "full") -> None:
    """Write a safetensors file that evalkit's ``rwkv7`` loader reads.

    Args:
        compiled: the weights.
        path: of the file.
        negative_eigenvalues: recorded in the file, so that the loader sets c; ``off`` gives the negative
            control, the same weights where they cannot work.
    """
    from safetensors.torch import save_file

    letters = dict(
        zip(compiled.automaton.alphabet, compiled.text(np.arange(len(compiled.letter_bytes))), strict=True)
    )
    metadata = {
        "format": "pt",
        "negative_eigenvalues": negative_eigenvalues,
        "language": compiled.automaton.name,
        "letters": json.dumps(letters),
    }
    with atomic_write(path) as temporary:
        save_file(compiled.tensors, temporary, metadata=metadata)


def choose_bytes(automaton: Automaton) -> NDArray[np.int64]:
    """The byte of each letter: its own where all letters are single ASCII characters, else the next free.

    Raises:
        UsageError: there are more letters than bytes.
    """
    if all(len(letter) == 1 and letter.isascii() and letter != "\n" for letter in automaton.alphabet):
        return np.array([ord(letter) for letter in automaton.alphabet])
    free = _BYTES + _SPARE_BYTES
    if automaton.num_letters > len(free):
        advice = "" if automaton.group is None else "; a group needs few of its elements: --generators"
        raise UsageError(
            f"{automaton.name} has {automaton.num_letters} letters; "
            f"a byte-level network has room for {len(free)}{advice}"
        )
    return np.array([ord(byte) for byte in free[: automaton.num_letters]])


def _head(readout: Readout, letter_bytes: NDArray[np.int64], bits: list[Feature]) -> list[Weighted]:
    """What each of the 257 logits reads."""
    rows: list[list[tuple[Feature, float]]] = [[(ONE, -_LOGIT)] for _ in range(VOCAB_SIZE)]
    for byte in letter_bytes.tolist():
        rows[byte] = [(ONE, _LOGIT)]
    rows[END] = [("accepted", _LOGIT), ("rejected", -_LOGIT)]
    if FIRST_LABEL + len(readout.patterns) <= START_TOKEN:
        for label, pattern in enumerate(readout.patterns.tolist()):
            share = _LOGIT / 2 / len(bits)
            weights = [(name, share * sign) for name, sign in zip(bits, pattern, strict=True)]
            rows[FIRST_LABEL + label] = [(ONE, -2 * _LOGIT), *weights]
    return list(rows)

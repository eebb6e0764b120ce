"""Whether compiled weights say what the language says, after every prefix, by a second reader of it."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.models.rwkv7.network import REMOVAL_STRENGTHS, RWKV7, State
from evalkit_tasks.compiling.compile import END, FIRST_LABEL, START_TOKEN, Compiled
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.readers import Reader
from evalkit_tasks.formal.sampling import live_walks, uniform_strings

MAX_EXHAUSTIVE = 4096
_SLICE_TOKENS = 4096
_STATE_BYTES = 1 << 27


class Check(NamedTuple):
    """How a network did on strings of one length."""

    num_strings: int
    length: int
    num_prefixes: int
    """How many were looked at, the empty one among them."""
    num_wrong: int
    """Prefixes whose acceptance or label is wrong."""
    first_wrong: int | None
    """Letters of the shortest of them; None: there is none."""

    @property
    def accuracy(self) -> float:
        """Share of prefixes that are right."""
        return 1 - self.num_wrong / self.num_prefixes


def build_network(compiled: Compiled, negative_eigenvalues: str = "full") -> RWKV7:
    """The network with the compiled weights, in memory."""
    from evalkit.models.rwkv7.checkpoint import network_shape

    shape = network_shape(compiled.tensors, compiled.path_name)
    network = RWKV7(shape, REMOVAL_STRENGTHS[negative_eigenvalues])
    network.load_state_dict(compiled.tensors)
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def check_strings(
    network: RWKV7, compiled: Compiled, reader: Reader, strings: NDArray[np.int64], *, backend: str = "auto"
) -> Check:
    """Compare acceptance, and the label where it can be read, on every prefix of every string.

    Args:
        network: with the weights of ``compiled``.
        compiled: says which bytes stand for the letters.
        reader: says what is right.
        strings: ``[B, T]`` letters.
        backend: of `evalkit_kernels.wkv7`.
    """
    states = reader.run(strings)
    ids = np.insert(compiled.letter_bytes[strings], 0, START_TOKEN, axis=1)
    wrong = np.zeros(ids.shape, bool)
    state = None
    piece = max(1, _SLICE_TOKENS // len(ids))
    for start in range(0, ids.shape[1], piece):
        span = slice(start, start + piece)
        hidden, state = network(torch.from_numpy(ids[:, span]), state, backend=backend)
        wrong[:, span] = _wrong(network, compiled, reader, hidden, states[:, span])
    places = np.flatnonzero(wrong.any(0))
    first_wrong = int(places[0]) if len(places) else None
    return Check(len(strings), strings.shape[1], wrong.size, int(wrong.sum()), first_wrong)


@torch.inference_mode()
def check_all_strings(
    network: RWKV7, compiled: Compiled, reader: Reader, length: int, *, backend: str = "auto"
) -> Check:
    """The same for all strings of a length: every prefix is read once, and its state is carried on."""
    num_letters = compiled.automaton.num_letters
    hidden, state = network(torch.tensor([[START_TOKEN]]), backend=backend)
    bytes_per_row = sum(part.nbytes for part in state)
    max_rows = max(1, _STATE_BYTES // (num_letters * bytes_per_row))
    states = np.array([0])
    num_wrong = int(_wrong(network, compiled, reader, hidden, states[:, None]).sum())
    num_prefixes, first_wrong = 1, 0 if num_wrong else None
    todo = [(0, states, state)]
    while todo:
        depth, states, state = todo.pop()
        ids = torch.from_numpy(np.tile(compiled.letter_bytes, len(states))[:, None])
        branched = State(*(part.repeat_interleave(num_letters, 1) for part in state))
        hidden, after = network(ids, branched, backend=backend)
        states = np.array([reader.step(state, a) for state in states.tolist() for a in range(num_letters)])
        wrong = _wrong(network, compiled, reader, hidden, states[:, None])
        num_prefixes += wrong.size
        num_wrong += int(wrong.sum())
        depth += 1
        if wrong.any() and (first_wrong is None or depth < first_wrong):
            first_wrong = depth
        if depth < length:
            for row in range(0, len(states), max_rows):
                rows = slice(row, row + max_rows)
                todo.append((depth, states[rows], State(*(part[:, rows] for part in after))))
    return Check(num_letters**length, length, num_prefixes, num_wrong, first_wrong)


def exhaustive_length(automaton: Automaton, max_length: int = 12) -> int:
    """The greatest length up to ``max_length`` of which there are at most `MAX_EXHAUSTIVE` strings."""
    length = 1
    while length < max_length and automaton.num_letters ** (length + 1) <= MAX_EXHAUSTIVE:
        length += 1
    return length


def long_strings(automaton: Automaton, length: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Two strings: uniform letters, which end in a sink where there is one, and letters that avoid it."""
    if automaton.codewords is not None:
        length += -length % automaton.codewords.shape[1]
    uniform = uniform_strings(automaton, length, 1, generator)
    return np.concatenate((uniform, live_walks(automaton, length, 1, generator)))


def _wrong(
    network: RWKV7, compiled: Compiled, reader: Reader, hidden: torch.Tensor, states: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Where the logits of ``hidden``, ``[B, T, C]``, do not say what the reader's states say."""
    num_labels = compiled.automaton.num_labels
    logits = network.head(hidden).numpy()
    wrong: NDArray[np.bool_] = (logits[..., END] > 0) != reader.accepted(states)
    if FIRST_LABEL + num_labels <= START_TOKEN:
        labels = logits[..., FIRST_LABEL : FIRST_LABEL + num_labels].argmax(-1)
        wrong |= labels != reader.labels(states)
    return wrong

"""Small trainings that differ in data and seeds, to see what `evalkit curve` and `evalkit snr` make of them.

::

    python -m evalkit.embedded.mixtures --output runs/mixtures

Each run is a Llama of two layers that reads bytes, trained for some seconds on a mixture of prose (the topics
of Python's reference, `pydoc_data.topics`) and code (the standard library's modules). Checkpoints are folders
of transformers, ``checkpoints/RUN/step-N``, with the ``trainer_state.json`` that the Trainer writes. What no
run has read is written as the corpora ``unread-prose.json`` and ``unread-code.json``.
"""

import argparse
import hashlib
import json
import pydoc_data.topics
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from evalkit.embedded.script import run_script
from evalkit.embedded.training import learning_rate_factor
from evalkit.embedded.vocabulary import byte_vocabulary, document_ids, of_transformers, start_id
from evalkit.files import atomic_write
from evalkit.models.hf.quiet import quiet
from evalkit.terminal import show

if TYPE_CHECKING:
    import transformers

SHARES = (0.3, 0.34, 0.45, 0.7)
"""Of prose, by default: two mixtures that are nearly the same, and two that are not."""
SEEDS = (0, 1, 2)
NUM_STEPS = 300
STEPS_PER_CHECKPOINT = 20
PEAK_LEARNING_RATE = 3e-3
ROW_TOKENS = 192
ROWS_PER_STEP = 8
DOCUMENT_BYTES = ROW_TOKENS - 2
"""Of what is scored: a piece that fits the context, from the middle of a document."""
MAX_DOCUMENTS = 240
"""Of each kind, read and unread together."""
_SHARE_UNREAD = 0.5


class Texts(NamedTuple):
    """Documents of one kind."""

    read: tuple[str, ...]
    """That runs are trained on."""
    unread: tuple[str, ...]


def texts_of(documents: Sequence[str]) -> Texts:
    """Documents shared out by their digests, so that the same ones are unread everywhere."""
    ordered = sorted({text for text in documents if len(text) > 500}, key=_digest)[:MAX_DOCUMENTS]
    num_unread = int(_SHARE_UNREAD * len(ordered))
    return Texts(tuple(ordered[num_unread:]), tuple(_middle(text) for text in ordered[:num_unread]))


def _middle(text: str) -> str:
    data = text.encode()
    first = (len(data) - DOCUMENT_BYTES) // 2
    return data[first : first + DOCUMENT_BYTES].decode(errors="ignore")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def prose_texts() -> Texts:
    """The topics of Python's reference."""
    return texts_of(list(pydoc_data.topics.topics.values()))


def code_texts() -> Texts:
    """The modules at the top of the standard library."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return texts_of([file.read_text(encoding="utf-8", errors="ignore") for file in files])


class Mixture(NamedTuple):
    """A run."""

    share: float
    """Of rows that are prose."""
    seed: int

    @property
    def name(self) -> str:
        """Of the run; without the seed that of its recipe."""
        return f"prose{round(100 * self.share)}-seed{self.seed}"


def train_mixture(
    mixture: Mixture, streams: Sequence[NDArray[np.int16]], folder: Path, *, num_steps: int = NUM_STEPS
) -> None:
    """Train a run, and write its checkpoints.

    Args:
        mixture: which.
        streams: the ids of prose and of code, see `stream_of`.
        folder: where the run's folder goes.
        num_steps: of the optimiser.
    """
    network = build_network(mixture.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_LEARNING_RATE, betas=(0.9, 0.99))
    rng = np.random.default_rng(mixture.seed)
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    for step in range(1, num_steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = PEAK_LEARNING_RATE * learning_rate_factor(step - 1, num_steps)
        ids = rows_of(mixture.share, streams, rng)
        logits = network(input_ids=ids[:, :-1], use_cache=False).logits
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if step % STEPS_PER_CHECKPOINT == 0:
            num_tokens = step * ROWS_PER_STEP * ROW_TOKENS
            state = {
                "global_step": step,
                "num_input_tokens_seen": num_tokens,
                "total_flos": 6.0 * num_parameters * num_tokens,
            }
            save_checkpoint(network, state, folder / mixture.name / f"step-{step}")


def build_network(seed: int) -> "transformers.LlamaForCausalLM":
    """The network, freshly initialised."""
    import transformers

    torch.manual_seed(seed)
    start = start_id(byte_vocabulary())
    config = transformers.LlamaConfig(
        vocab_size=start + 1,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=ROW_TOKENS,
        bos_token_id=start,
        eos_token_id=start,
        tie_word_embeddings=False,
    )
    return transformers.LlamaForCausalLM(config)


def stream_of(texts: Texts) -> NDArray[np.int16]:
    """The documents to read, one after the other, as ids."""
    return np.concatenate(document_ids(byte_vocabulary(), texts.read))


def rows_of(share: float, streams: Sequence[NDArray[np.int16]], rng: np.random.Generator) -> torch.Tensor:
    """The rows of a step, ``[ROWS_PER_STEP, ROW_TOKENS + 1]``; each is prose with probability ``share``."""
    chosen = [streams[0 if is_prose else 1] for is_prose in rng.random(ROWS_PER_STEP) < share]
    starts = [int(rng.integers(len(stream) - ROW_TOKENS)) for stream in chosen]
    pieces = zip(chosen, starts, strict=True)
    rows = np.stack([stream[start : start + ROW_TOKENS + 1] for stream, start in pieces])
    return torch.from_numpy(rows.astype(np.int64))


def save_checkpoint(network: "transformers.PreTrainedModel", state: dict[str, float], folder: Path) -> None:
    """Write a folder of transformers, the state of the training last."""
    with quiet():
        network.save_pretrained(folder)
        of_transformers(byte_vocabulary(), ROW_TOKENS).save_pretrained(folder)
    with atomic_write(folder / "trainer_state.json") as temporary:
        temporary.write_text(json.dumps(state) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evalkit.embedded.mixtures", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--output", type=Path, default=Path("runs/mixtures"), help="(default: %(default)s)")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of prose, 0 to 1")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--steps", type=int, default=NUM_STEPS)
    return parser.parse_args()


def main() -> None:
    """Parse the arguments, train what is not there yet, and write the corpora."""
    arguments = _arguments()
    torch.set_flush_denormal(True)
    prose, code = prose_texts(), code_texts()
    for name, texts in (("unread-prose", prose), ("unread-code", code)):
        with atomic_write(arguments.output / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(texts.unread, ensure_ascii=False), encoding="utf-8")
    streams = [stream_of(prose), stream_of(code)]
    checkpoints = arguments.output / "checkpoints"
    for share in arguments.shares:
        for seed in arguments.seeds:
            mixture = Mixture(share, seed)
            if (checkpoints / mixture.name / f"step-{arguments.steps}" / "trainer_state.json").is_file():
                continue
            train_mixture(mixture, streams, checkpoints, num_steps=arguments.steps)
            show(f"{mixture.name}: {arguments.steps} steps")


if __name__ == "__main__":
    run_script(main)

"""Small RWKV-7 models of bytes, trained on dated text until a known day, scored on other text of all months.

The text is drawn: a wire of a made-up world, in which every month brings names that nobody has heard of, and
names fade. So nothing of anybody else's is needed, and the same seed gives the same bytes.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import evalkit
from evalkit.corpora.document import Corpus, make_corpus, make_document
from evalkit.models.rwkv7.init import initialise, parameter_groups
from evalkit.models.rwkv7.network import RWKV7, LayerShape, NetworkShape
from evalkit.runner.options import RunOptions
from tests.support.dated import first_day_of

NUM_MONTHS = 24
NUM_CHANNELS, NUM_LAYERS, START_ID = 96, 2, 256
NAMES_PER_MONTH = 16
HALF_LIFE_MONTHS = 6.0
NUM_TRAINED, NUM_SCORED = 240, 80
"""Documents a month."""
ROW_TOKENS, ROWS_PER_STEP = 320, 16
NUM_STEPS = 260
_ONSETS = [
    "b",
    "br",
    "ch",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
    "w",
    "z",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ei", "ou"]
_ENDS = ["n", "r", "s", "l", "m", "th", "nd", "x", "k"]
_SENTENCES = (
    "{} met {} in the morning. ",
    "The council of {} has voted for the plan of {}. ",
    "In {} the price of grain rose again, said {}. ",
    "{} won against {} by three goals. ",
    "A storm reached {} and moved on to {}. ",
    "The new book of {} is about {}. ",
)


class Wire:
    """Documents of any day."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        born = np.arange(-24, NUM_MONTHS + 1, 1 / NAMES_PER_MONTH)
        self._names = np.array([self._name() for _ in born])
        self._born = born + self._rng.uniform(0, 1 / NAMES_PER_MONTH, len(born))

    def _name(self) -> str:
        syllables = [
            str(self._rng.choice(_ONSETS)) + str(self._rng.choice(_VOWELS))
            for _ in range(self._rng.integers(2, 4))
        ]
        return ("".join(syllables) + str(self._rng.choice(_ENDS))).capitalize()

    def document(self, day: dt.date) -> str:
        """A text of this day: recent names often, old ones seldom, those to come never."""
        first = first_day_of(0)
        now = (day - first).days / (365.25 / 12)
        ages = now - self._born
        weights = np.where(ages >= 0, 0.5 ** (ages / HALF_LIFE_MONTHS), 0.0)
        chosen = self._rng.choice(self._names, size=(6, 2), p=weights / weights.sum())
        sentences = self._rng.permutation(len(_SENTENCES))
        return "".join(
            _SENTENCES[place].format(*names) for place, names in zip(sentences, chosen, strict=True)
        )

    def month(self, month: int, count: int) -> list[tuple[dt.date, str]]:
        """So many documents of the days of a month."""
        first = first_day_of(month)
        num_days = (first_day_of(month + 1) - first).days
        days = [first + dt.timedelta(int(day)) for day in np.sort(self._rng.integers(0, num_days, count))]
        return [(day, self.document(day)) for day in days]


def scored_corpora(wire: Wire) -> list[Corpus]:
    """A corpus of every month."""
    return [
        make_corpus(
            f"wire-{first_day_of(month).isoformat()[:7]}",
            [
                make_document(
                    text, source="wire", license="CC0-1.0", published_at=day.isoformat(), id=f"{number}"
                )
                for number, (day, text) in enumerate(wire.month(month, NUM_SCORED))
            ],
        )
        for month in range(NUM_MONTHS)
    ]


class TrainedBytes:
    """A network as a model: bytes as tokens, a start token before every document."""

    vocab_size = START_ID + 1
    prefix = (START_ID,)
    context_limit = None
    policy_prefixes: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    tokens_per_batch = 1 << 14

    def __init__(self, network: RWKV7, name: str, cutoff: dt.date) -> None:
        self._network = network
        weights = b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())
        self.identity = evalkit.ModelIdentity(
            name=name,
            loader="python",
            revision=None,
            weights_sha256=hashlib.sha256(weights).hexdigest(),
            tokenizer_sha256="bytes",
            prefix="token:256",
            dtype="float32",
            context_limit=None,
            details={"knowledge_cutoff": cutoff.isoformat()},
        )

    def encode(self, text: str) -> evalkit.Encoding:
        data = text.encode()
        return evalkit.Encoding(np.frombuffer(data, np.uint8).astype(np.int64), np.arange(1, len(data) + 1))

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[Any]:
        costs = []
        for place, ids in enumerate(sequences):
            before = list(self.prefix if contexts is None else contexts[place]) or [START_ID]
            read = torch.tensor([[*before, *ids]])
            with torch.no_grad():
                logits = self._network.head(self._network(read[:, :-1], None)[0])[0]
            losses = F.cross_entropy(logits.float(), read[0, 1:], reduction="none")
            costs.append(losses[len(before) - 1 :].numpy())
        return costs


def train(
    documents: Sequence[tuple[dt.date, str]], cutoff: dt.date, *, num_steps: int = NUM_STEPS
) -> TrainedBytes:
    """A model that has read the documents until a day, that day included."""
    rng = np.random.default_rng(0)
    layer = LayerShape(
        decay_rank=16, gate_rank=16, value_rank=8, learning_rate_rank=16, ffn_width=4 * NUM_CHANNELS
    )
    network = RWKV7(NetworkShape(START_ID + 1, NUM_CHANNELS, 32, (layer,) * NUM_LAYERS))
    initialise(network, 0)
    texts = [np.frombuffer(text.encode(), np.uint8) for day, text in documents if day <= cutoff]
    rows = np.full((len(texts), ROW_TOKENS + 1), START_ID, np.int64)
    for row, text in zip(rows, texts, strict=True):
        row[1 : 1 + len(text)] = text[:ROW_TOKENS]
    groups = list(map(dict, parameter_groups(network, 4e-3, 0.1)))
    optimizer = torch.optim.AdamW(groups, lr=4e-3, betas=(0.9, 0.99), eps=1e-18)
    peaks = [group["lr"] for group in optimizer.param_groups]
    for step in range(num_steps):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * min((step + 1) / 50, 1.02 - step / num_steps)
        ids = torch.from_numpy(rows[rng.integers(0, len(rows), ROWS_PER_STEP)])
        logits = network.head(network(ids[:, :-1], None)[0])
        loss = F.cross_entropy(logits.reshape(-1, START_ID + 1).float(), ids[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return TrainedBytes(network, f"until-{cutoff.isoformat()}", cutoff)


def score(folder: Path, models: Sequence[Any], corpora: Sequence[Corpus]) -> None:
    """The cells of these models on these corpora."""
    evalkit.run(list(models), list(corpora), token_bits=True, options=RunOptions(output=folder))

"""Small models of bytes, trained on dated text until a known day, scored on other text of all months.

The text is drawn: a wire of a made-up world, in which every month brings names that nobody has heard of, and
names fade. So nothing of anybody else's is needed, and the same seed gives the same bytes.
"""

import datetime as dt
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

import evalkit
from evalkit.corpora.document import Corpus, make_corpus, make_document
from evalkit.runner.options import RunOptions
from tests.support.dated import first_day_of

NUM_MONTHS = 24
ORDER = 5
NAMES_PER_MONTH = 24
HALF_LIFE_MONTHS = 6.0
NUM_TRAINED, NUM_SCORED = 60, 40
"""Documents a month."""
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


class Ngrams:
    """Bytes by up to `ORDER` bytes before them, as Witten and Bell blend orders; a model of evalkit's."""

    vocab_size = 256
    prefix = ()
    context_limit = None
    policy_prefixes: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    tokens_per_batch = 1 << 14

    def __init__(self, texts: Sequence[str], cutoff: dt.date) -> None:
        self._counts: dict[bytes, dict[int, int]] = {}
        for text in texts:
            data = text.encode()
            for place, byte in enumerate(data):
                for length in range(min(ORDER, place) + 1):
                    of_context = self._counts.setdefault(data[place - length : place], {})
                    of_context[byte] = of_context.get(byte, 0) + 1
        self._sums = {context: sum(counts.values()) for context, counts in self._counts.items()}
        name = f"until-{cutoff.isoformat()}"
        self.identity = evalkit.ModelIdentity(
            name=name,
            loader="python",
            revision=None,
            weights_sha256=hashlib.sha256("".join([name, *texts]).encode()).hexdigest(),
            tokenizer_sha256="bytes",
            prefix="none",
            dtype="float64",
            context_limit=None,
            details={"knowledge_cutoff": cutoff.isoformat()},
        )

    def encode(self, text: str) -> evalkit.Encoding:
        data = text.encode()
        return evalkit.Encoding(np.frombuffer(data, np.uint8).astype(np.int64), np.arange(1, len(data) + 1))

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[Any]:
        return [np.array(self._costs(bytes(map(int, ids))), np.float32) for ids in sequences]

    def _costs(self, data: bytes) -> list[float]:
        costs = []
        for place, byte in enumerate(data):
            probability = 1 / 256
            for length in range(min(ORDER, place) + 1):
                counts = self._counts.get(data[place - length : place])
                if counts is None:
                    break
                total = self._sums[data[place - length : place]]
                probability = (counts.get(byte, 0) + len(counts) * probability) / (total + len(counts))
            costs.append(-math.log(probability))
        return costs


def train(documents: Sequence[tuple[dt.date, str]], cutoff: dt.date) -> Ngrams:
    """A model that has read the documents until a day, that day included."""
    return Ngrams([text for day, text in documents if day <= cutoff], cutoff)


def score(folder: Path, models: Sequence[Any], corpora: Sequence[Corpus]) -> None:
    """The cells of these models on these corpora."""
    evalkit.run(list(models), list(corpora), options=RunOptions(output=folder))

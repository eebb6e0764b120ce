"""What the page asks, and what it is answered: JSON objects of these fields and no others."""

import dataclasses
import threading
from collections.abc import Callable, Sequence

from evalkit.errors import UsageError
from evalkit.explore.reading import predictions, read
from evalkit.explore.sampling import Sampling, sample
from evalkit.fields import FieldError, from_json
from evalkit.models.protocol import TokenModel
from evalkit.report.explorer_data import token_data

Answer = dict[str, object]


@dataclasses.dataclass(frozen=True)
class _ReadingRequest:
    text: str


@dataclasses.dataclass(frozen=True)
class _PredictionsRequest:
    text: str
    model: int
    token: int


@dataclasses.dataclass(frozen=True)
class _ContinuationRequest:
    text: str
    model: int
    num_tokens: int
    temperature: float
    seed: int


class Answers:
    """Answers by address; one at a time, as a model computes on all processors."""

    def __init__(self, models: Sequence[TokenModel]) -> None:
        """Answer for models, which requests name by their places."""
        self._models = models
        self._lock = threading.Lock()
        self._has_ended = threading.Event()
        self._by_path: dict[str, Callable[[object], Answer]] = {
            "/reading": self._reading,
            "/predictions": self._predictions,
            "/continuation": self._continuation,
        }

    def knows(self, path: str) -> bool:
        """Whether anything is answered at an address."""
        return path in self._by_path

    def answer(self, path: str, content: object) -> Answer:
        """What is answered.

        Args:
            path: one that this `knows`.
            content: what was asked, as JSON was read.

        Raises:
            EvalkitError: the request is wrong, or a model cannot answer it.
        """
        with self._lock:
            if self._has_ended.is_set():
                raise UsageError("evalkit explore has ended")
            try:
                return self._by_path[path](content)
            except FieldError as error:
                raise UsageError(f"the request cannot be understood: {error}") from error

    def end(self) -> None:
        """Answer nothing from now on; returns when nothing computes: torch cannot be left in the midst."""
        self._has_ended.set()
        with self._lock:
            return

    def _reading(self, content: object) -> Answer:
        request = from_json(_ReadingRequest, content)
        readings = [read(model, request.text) for model in self._models]
        return {
            "num_bytes": readings[0].num_bytes,
            "models": [
                {
                    "total_bits": reading.total_bits,
                    "num_tokens": len(reading.tokens.bits),
                    "tokens": token_data(reading.tokens),
                }
                for reading in readings
            ],
        }

    def _predictions(self, content: object) -> Answer:
        request = from_json(_PredictionsRequest, content)
        likely = predictions(self._model(request.model), request.text, request.token)
        return {
            "rank": likely.rank,
            "probability": likely.probability,
            "likeliest": [
                {"bytes": list(part.data), "probability": part.probability, "is_texts_own": part.is_texts_own}
                for part in likely.likeliest
            ],
        }

    def _continuation(self, content: object) -> Answer:
        request = from_json(_ContinuationRequest, content)
        sampling = Sampling(request.num_tokens, request.temperature, request.seed)
        drawn = sample(self._model(request.model), request.text, sampling, is_stopped=self._has_ended.is_set)
        return {
            "text": drawn.data.decode("utf-8", errors="replace"),
            "num_tokens": drawn.num_tokens,
            "has_ended": drawn.has_ended,
        }

    def _model(self, place: int) -> TokenModel:
        if not 0 <= place < len(self._models):
            raise UsageError(f"there is no model at place {place}")
        return self._models[place]

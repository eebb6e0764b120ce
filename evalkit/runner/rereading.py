"""The documents of finished cells, read again by the models that were scored: what no cell holds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.leaks import HARDEST
from evalkit.analysis.results import Results
from evalkit.analysis.texts import texts_at_hand
from evalkit.corpora.document import Corpus
from evalkit.errors import UsageError
from evalkit.models.distributions import DistributionModel
from evalkit.models.loading import locate_model
from evalkit.models.protocol import LoadOptions, Model
from evalkit.scoring.min_k import min_k_plus_plus


class Rereading:
    """Min-K%++ of the documents of scored corpora; an `evalkit.analysis.leaks.MinKPlusPlus`.

    Models are found by the names that their cells have, and loaded when they are first needed.
    """

    def __init__(self, results: Results, policy: str, *, device: str = "auto") -> None:
        """Read what these cells are of.

        Args:
            results: the cells.
            policy: of the language models.
            device: see `evalkit.models.protocol.LoadOptions`.
        """
        self._results, self._policy, self._device = results, policy, device
        self._models: dict[int, Model] = {}

    def __call__(self, number: int, rows: Sequence[int]) -> NDArray[np.float64] | None:
        """Of the documents of a corpus by the models of some rows, ``[D, R]``.

        None where one of them shows no distributions; NaN of documents that it cannot represent.

        Raises:
            UsageError: the texts are not in the store, or a name is that of no model, or of another one.
            ModelError: a model cannot be loaded.
            ScoringError: see `evalkit.scoring.min_k.min_k_plus_plus`.
        """
        if any(self._results.configurations[row].policy is None for row in rows):  # compressors
            return None
        documents = self._corpus(number).documents
        columns = []
        for row in rows:
            model = self._model(row)
            if not isinstance(model, DistributionModel):
                return None
            columns.append(min_k_plus_plus(model, documents, self._policy, share=HARDEST))
        return np.stack(columns, axis=1)

    def _corpus(self, number: int) -> Corpus:
        corpus = texts_at_hand(self._results, number)
        if corpus is None:
            raise UsageError(
                f"{self._results.corpora[number].label}: its texts are not in the store, and Min-K%++ reads "
                "them; leave out --min-k-plus-plus or add the corpus"
            )
        return corpus

    def _model(self, row: int) -> Model:
        if row not in self._models:
            configuration = self._results.configurations[row]
            facts = configuration.facts
            options = LoadOptions(self._device, facts.dtype, max_context=configuration.settings.context_limit)
            located = locate_model(configuration.model, options)
            if located.problem is None and located.identity.weights_sha256 != facts.weights_sha256:
                raise UsageError(
                    f"{configuration.model} has other weights than its cells were scored with; score it again"
                )
            self._models[row] = located.load()
        return self._models[row]

"""A callback for the Trainer of transformers."""

import warnings
from typing import TYPE_CHECKING

import transformers
from torch import nn

from evalkit.errors import EvalkitError, UsageError

if TYPE_CHECKING:
    from evalkit.live.evaluation import Evaluation
    from evalkit.live.evaluator import Evaluator


class EvaluatorCallback(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Scores the model of a Trainer, and puts the numbers into its log history.

    ::

        trainer = Trainer(model, args, callbacks=[evaluator.callback(every_steps=500)], …)

    What fails at the first evaluation ends the training with its error; what fails later is a warning, and
    the training goes on.
    """

    def __init__(self, evaluator: "Evaluator", every_steps: int | None = None) -> None:
        """Score at each evaluation of the Trainer and at the end, or every so many steps and at the end.

        Raises:
            UsageError: fewer than one step.
        """
        if every_steps is not None and every_steps < 1:
            raise UsageError(f"every_steps={every_steps}: give 1 or more")
        self._evaluator, self._every_steps = evaluator, every_steps
        self._last_step: int | None = None
        self.evaluations: list[Evaluation] = []
        """All that were made, in order."""

    def on_step_end(
        self,
        _args: object,
        state: "transformers.TrainerState",
        _control: object,
        **kwargs: object,
    ) -> None:
        """Score every so many steps."""
        if self._every_steps is not None and state.global_step % self._every_steps == 0:
            self._score(state, kwargs)

    def on_evaluate(
        self,
        _args: object,
        state: "transformers.TrainerState",
        _control: object,
        **kwargs: object,
    ) -> None:
        """Score where the Trainer evaluates."""
        if self._every_steps is None:
            self._score(state, kwargs)

    def on_train_end(
        self, _args: object, state: "transformers.TrainerState", _control: object, **kwargs: object
    ) -> None:
        """Score what came of it."""
        self._score(state, kwargs)

    def _score(self, state: "transformers.TrainerState", kwargs: dict[str, object]) -> None:
        step = state.global_step
        if not state.is_world_process_zero or step == self._last_step:
            return
        model, tokenizer = kwargs["model"], kwargs.get("processing_class") or kwargs.get("tokenizer")
        assert isinstance(model, nn.Module)
        num_tokens = getattr(state, "num_input_tokens_seen", 0) or None
        try:
            evaluation = self._evaluator.score(model, tokenizer, step=step, num_tokens=num_tokens)
        except EvalkitError as error:  # as of a model whose logits are no numbers for a while
            if not self.evaluations:
                raise  # what was wrong from the beginning
            warnings.warn(f"step {step} is not scored, and the training goes on: {error}", stacklevel=2)
            return
        self._last_step = step
        self.evaluations.append(evaluation)
        state.log_history.append({**evaluation.metrics(), "step": step})

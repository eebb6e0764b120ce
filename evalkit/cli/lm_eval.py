"""``evalkit lm-eval``: lm-evaluation-harness with evalkit's models."""

import sys

import typer

from evalkit.extras import check_extra


def lm_eval_command(context: typer.Context) -> None:
    """Run lm-evaluation-harness, where --model evalkit is any of evalkit's models.

    All arguments are its own: evalkit lm-eval run --model evalkit --model_args spec=rwkv7-0.1b --tasks NAME
    """
    check_extra("lm-eval")
    from lm_eval.__main__ import cli_evaluate

    import evalkit.exports.harness_model  # noqa: F401  registers the model

    sys.argv = ["lm-eval", *context.args]
    cli_evaluate()

"""``evalkit explore``: a page of this machine's own, on which a text is typed and seen as models read it."""

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import (
    CommaLists,
    DeviceOption,
    DtypeOption,
    MaxContextOption,
    PrefixOption,
    TrustOption,
    complete_models,
    joined,
    names_or,
)
from evalkit.terminal import show

if TYPE_CHECKING:
    from evalkit.models.protocol import LoadOptions, TokenModel

DEFAULT_MODELS = ("rwkv7-nano", "llama-nano")


def explore_command(
    models: Annotated[
        CommaLists,
        typer.Option(
            "--models",
            help="One or two models, by commas; see `models list`. No compressors: they have no tokens.",
            show_default=",".join(DEFAULT_MODELS),
            autocompletion=complete_models,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", help="Port of the page; 0: one that is free.", min=0, max=65535)
    ] = 0,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    max_context: MaxContextOption = None,
    prefix: PrefixOption = None,
    trust_remote_code: TrustOption = False,
) -> None:
    """Open a page on this machine: type a text and see what each token costs one or two models.

    It shows what was likelier at a token, what retyping changes and how a model goes on. Ctrl-C ends it.
    """
    from evalkit.explore.server import ExploreServer
    from evalkit.models.prefixes import parse_rule
    from evalkit.models.protocol import LoadOptions

    names = names_or(models, DEFAULT_MODELS)
    rule = None if prefix is None else parse_rule(joined(prefix) or "", "--prefix")
    options = LoadOptions(device, dtype, trust_remote_code, max_context, prefix=rule)
    with ExploreServer(port) as server:
        loaded = _loaded(names, options)
        server.use(loaded)
        shown = " and ".join(model.identity.name for model in loaded)
        show(f"{server.url} shows a text as read by {shown}; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):  # which is how it is ended
            server.serve_forever()
    show("ended")


def _loaded(names: list[str], options: "LoadOptions") -> "list[TokenModel]":
    """The models.

    Raises:
        UsageError: there are none or more than two, or one is a compressor.
        ModelError: one cannot be found or read.
    """
    from evalkit.errors import UsageError
    from evalkit.models.catalog import load_catalog
    from evalkit.models.loading import locate_models
    from evalkit.models.name_patterns import find_entries
    from evalkit.models.protocol import TokenModel

    num_models = len(find_entries(names, load_catalog()))
    if not 1 <= num_models <= 2:  # a pattern may stand for many, and each is looked for
        raise UsageError(f"--models names {num_models}; the page shows one or two side by side")
    located_models = locate_models(names, options)
    for located in located_models:
        if located.identity.loader == "codec":
            raise UsageError(
                f"--models: {located.identity.name} is a compressor, which has no tokens to show; name "
                "language models"
            )
    loaded = [located.load() for located in located_models]
    for model in loaded:
        if not isinstance(model, TokenModel):
            raise UsageError(f"--models: {model.identity.name} has no tokens to show; name language models")
    return [model for model in loaded if isinstance(model, TokenModel)]

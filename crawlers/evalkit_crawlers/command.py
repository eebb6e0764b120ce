"""What makes a command of ``evalkit crawl`` of a source.

    @crawl_command
    def command(
        languages: Annotated[str | None, typer.Option("--languages", help="By commas.")] = None,
    ) -> Source:
        '''What ``--help`` says of the source.'''
        return MySource(languages)

A package's entry point in ``evalkit.crawlers`` names such a command.
"""

import inspect
from collections.abc import Callable
from typing import Any

from evalkit_crawlers.options import common_options
from evalkit_crawlers.source import Source


def crawl_command(make_source: Callable[..., Source]) -> Callable[..., None]:
    """A command for typer: it takes a source's own options and the common ones, and crawls.

    Args:
        make_source: takes the source's options, each with a default; its docstring is the command's help.

    The command raises:
        CrawlError: a host could not be reached; what was fetched is kept.
        UsageError: an option is malformed, or nobody said whom a server's operator may write to.
    """
    own = inspect.signature(make_source, eval_str=True).parameters
    common = list(inspect.signature(common_options).parameters.values())
    window = [one for one in common if one.default is one.empty]
    signature = inspect.Signature(
        [one.replace(kind=one.KEYWORD_ONLY) for one in (*window, *own.values(), *common[len(window) :])]
    )

    def command(**given: Any) -> None:
        # Heavy, and `--help` does not need it.
        from evalkit_crawlers.crawling import crawl

        options = signature.bind(**given)
        options.apply_defaults()
        source = make_source(**{name: options.arguments.pop(name) for name in own})
        crawl.run(source, common_options(**options.arguments))

    command.__doc__ = make_source.__doc__
    # What typer reads the options from.
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return command

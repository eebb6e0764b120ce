"""What makes a command of ``evalkit crawl`` of a source.

    @crawl_command
    def command(
        languages: Annotated[CommaLists, typer.Option("--languages", help="By commas.")] = None,
    ) -> Source:
        '''What ``--help`` says of the source.'''
        return MySource(comma_list(joined(languages)))  # from evalkit.cli.parsing

A package's entry point in ``evalkit.crawlers`` names such a command.
"""

import inspect
from collections.abc import Callable

from evalkit.extras import check_extra
from evalkit_crawlers.options import common_options
from evalkit_crawlers.source import Source


def crawl_command(make_source: Callable[..., Source]) -> Callable[..., None]:
    """Make a command for typer that takes a source's own options and the common ones, and crawls.

    Args:
        make_source: takes the source's options, annotated as typer has it; its docstring is the command's
            help.

    The command raises:
        CrawlError: a host could not be reached; what was fetched is kept.
        UsageError: an option is malformed, or nobody said whom a server's operator may write to.
    """
    source_parameters = inspect.signature(make_source, eval_str=True).parameters
    common = list(inspect.signature(common_options).parameters.values())
    # The days of the window, which have no default, stand first in the help, then the source's own options.
    required = [parameter for parameter in common if parameter.default is parameter.empty]
    ordered = (*required, *source_parameters.values(), *common[len(required) :])
    signature = inspect.Signature(
        # By keyword only: a source's option without a default may follow common ones that have one.
        [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in ordered]
    )

    def command(**values: object) -> None:
        check_extra("crawl")
        # Heavy, and `--help` does not need it.
        from evalkit_crawlers.crawling import crawl

        options = signature.bind(**values)
        options.apply_defaults()
        source = make_source(**{name: options.arguments.pop(name) for name in source_parameters})
        crawl.run(source, common_options(**options.arguments))

    command.__doc__ = make_source.__doc__
    # What typer reads the options from.
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {name: option.annotation for name, option in signature.parameters.items()}
    return command

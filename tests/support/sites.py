"""Sites of the results in a folder."""

from collections.abc import Callable
from pathlib import Path

from evalkit.analysis.results import read_results
from evalkit.report import SiteOptions, build_site
from evalkit.report.site import Built


def build_site_of(
    folder: Path,
    output: Path,
    options: SiteOptions | None = None,
    *,
    warn: Callable[[str], None] = lambda _: None,
) -> Built:
    """Read the results and build their site."""
    return build_site(read_results(folder, warn=warn), output, options, warn=warn)

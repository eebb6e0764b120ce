"""The static site: everything that people look at, derived from result cells alone.

``evalkit report RESULTS --output site/`` calls `build_site`. `evalkit.analysis` reads the cells and makes
numbers of them, `pages` and `explorer` arrange these, `content` says which files there are, `writer` writes
them. The pages need no server and no network, and can be read without JavaScript.
"""

from evalkit.report.placing import check_output
from evalkit.report.preview import checked_address
from evalkit.report.site import SiteOptions, build_site, docs_files

__all__ = ["SiteOptions", "build_site", "check_output", "checked_address", "docs_files"]

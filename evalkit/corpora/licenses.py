"""Licenses as SPDX expressions, and the one rule for which texts may be republished.

To republish is to show a text, or its title, to people who did not get it from where it was published: in a
dataset, on the site, in the explorer, in an export. `may_republish` decides it everywhere, by `TERMS`:

- the public domain and its waivers (CC0, PDDL, Unlicense, …) ask for nothing;
- CC BY and its like ask for attribution, CC BY-SA for the same license too; a document's URL, title and
  license go wherever its text goes;
- permissive licenses of programs (MIT, Apache-2.0, BSD, …) ask that their notice goes with a copy, which the
  license's identifier stands for and the document's URL leads to.

Everything else may not be republished: non-commercial (NC) and unchanged-only (ND) licenses, because nobody
knows what is done with a dataset; arXiv's, which lets arXiv alone distribute; those of the GPL's family,
which ask for more than a dataset gives (the whole source, the license's text); and whatever nobody has
stated.

Expressions are read by the library license-expression: of alternatives (``OR``) one must allow it, of
joint terms (``AND``) all must. An exception (``WITH``) of SPDX's list only adds to what its license allows.
"""

import enum
import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from evalkit.errors import UsageError

if TYPE_CHECKING:
    from boolean import Expression
    from license_expression import Licensing

ARXIV_LICENSE = "LicenseRef-arXiv-nonexclusive-distrib"
"""arXiv's license lets arXiv alone distribute; SPDX lists none like it, so it has the form for unlisted."""
PUBLIC_DOMAIN = "LicenseRef-public-domain"
"""Nobody holds rights (e.g. works of the United States government, 17 U.S.C. § 105); no SPDX identifier."""


class Terms(enum.Enum):
    """What a license asks of who republishes a text."""

    NOTHING = "nothing"
    ATTRIBUTION = "attribution"
    SHARE_ALIKE = "attribution and the same license"
    NOTICE = "the license's notice"


_CC_VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
TERMS: Mapping[str, Terms] = {
    **dict.fromkeys(
        (
            *(
                "CC0-1.0",
                "CC-PDDC",
                "CC-PDM-1.0",
                "PDDL-1.0",
                "Unlicense",
                "WTFPL",
                "0BSD",
                "MIT-0",
                "NIST-PD",
            ),
            *(
                PUBLIC_DOMAIN,
                "LicenseRef-scancode-public-domain",
                "LicenseRef-scancode-us-govt-public-domain",
            ),
        ),
        Terms.NOTHING,
    ),
    **dict.fromkeys((f"CC-BY-{version}" for version in _CC_VERSIONS), Terms.ATTRIBUTION),
    **dict.fromkeys(("OGL-UK-3.0", "etalab-2.0", "NLOD-2.0", "DL-DE-BY-2.0"), Terms.ATTRIBUTION),
    **dict.fromkeys((f"CC-BY-SA-{version}" for version in _CC_VERSIONS), Terms.SHARE_ALIKE),
    **dict.fromkeys(
        (
            *("MIT", "MIT-CMU", "MIT-Modern-Variant", "X11", "ISC", "HPND", "NCSA", "Zlib", "libpng-2.0"),
            *("Apache-1.1", "Apache-2.0", "ECL-2.0", "UPL-1.0", "BSL-1.0", "BlueOak-1.0.0", "PostgreSQL"),
            *("BSD-1-Clause", "BSD-2-Clause", "BSD-2-Clause-Patent", "BSD-2-Clause-Views"),
            *("BSD-2-Clause-Darwin", "BSD-2-Clause-first-lines", "BSD-2-Clause-pkgconf-disclaimer"),
            *("BSD-3-Clause", "BSD-3-Clause-Attribution", "BSD-3-Clause-Clear", "BSD-3-Clause-HP"),
            *("BSD-3-Clause-LBNL", "BSD-3-Clause-Modification", "BSD-3-Clause-Open-MPI", "BSD-3-Clause-Sun"),
            *("BSD-3-Clause-acpica", "BSD-3-Clause-flex", "BSD-4-Clause", "BSD-4-Clause-UC"),
            *("BSD-3-Clause-No-Nuclear-License", "BSD-3-Clause-No-Nuclear-Warranty"),
            *("PSF-2.0", "Python-2.0", "Python-2.0.1", "CNRI-Python", "ZPL-2.1"),
            *("Unicode-3.0", "Unicode-DFS-2016", "W3C", "MulanPSL-2.0", "AFL-3.0"),
        ),
        Terms.NOTICE,
    ),
}
"""By SPDX identifier, Creative Commons' without jurisdiction; who is not in it may not be republished."""

_UNLISTED = re.compile(r"(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")
"""SPDX's form for licenses that are not on its list."""
_CC_PARTS = r"(by(?:-(?:nc|sa|nd|nc-sa|nc-nd))?)"
_CC_PATH = re.compile(rf"/licenses/{_CC_PARTS}/(\d\.\d)(?:/([a-z]{{2,3}}))?(?:/.*)?")
_CC_NAME = re.compile(
    rf"cc[ -]?{_CC_PARTS}[ -]v?(\d(?:\.\d)?)(?:-([a-z]{{2,3}})|[ -](?:international|unported|intl\.?))?"
)
_JURISDICTION = re.compile(r"(CC-BY(?:-SA)?-\d\.\d)-[A-Z]{2,3}")
_NAMES = {
    "public domain": PUBLIC_DOMAIN,
    "publicdomain": PUBLIC_DOMAIN,
    "pd": PUBLIC_DOMAIN,
    "us government work": PUBLIC_DOMAIN,
    "cc0": "CC0-1.0",
    "cc zero": "CC0-1.0",
    "cc0 1.0": "CC0-1.0",
    "cc0 1.0 universal": "CC0-1.0",
    "gfdl": "GFDL-1.3-or-later",
    "mit license": "MIT",
    "the mit license": "MIT",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
}
_CC_WORDS = (
    ("creative commons", "cc"),
    ("attribution", "by"),
    ("noncommercial", "nc"),
    ("non-commercial", "nc"),
    ("sharealike", "sa"),
    ("share-alike", "sa"),
    ("share alike", "sa"),
    ("noderivatives", "nd"),
    ("noderivs", "nd"),
    (" license", ""),
    (" licence", ""),
)
_LISTS = {
    ("spdx.org", "/licenses"),
    ("opensource.org", "/licenses"),
    ("opensource.org", "/license"),
}
# No honest expression is longer, and a parser that recurses must not be handed anybody's megabyte.
_MAX_CHARACTERS = 1000


def normalise(license: str | None) -> str | None:
    """A license as an SPDX expression, from an expression, a name or an address; what is unknown, unchanged.

    Only names that state which version they mean are known: ``CC BY`` alone is none.

    >>> normalise("http://creativecommons.org/licenses/by/4.0/")
    'CC-BY-4.0'
    >>> normalise("mit or apache-2.0")
    'MIT OR Apache-2.0'
    """
    if license is None or not license.strip():
        return None
    if len(license) > _MAX_CHARACTERS:
        return license
    return _of_name(license) or _of_expression(license) or license


@functools.lru_cache(maxsize=4096)
def checked_license(license: str, subject: str = "--license") -> str:
    """A license that somebody states for texts, as an SPDX expression.

    Args:
        license: an expression, or a name or address that `normalise` knows.
        subject: what the message calls it.

    Raises:
        UsageError: it is neither.
    """
    expression = normalise(license) or ""
    parsed = _parsed(expression)
    names = _licensing().unknown_license_keys(parsed) if parsed is not None else [license]
    if not all(_UNLISTED.fullmatch(name) for name in names):
        raise UsageError(
            f"{subject} {license!r} is no SPDX expression; give an identifier of https://spdx.org/licenses "
            "such as CC-BY-4.0, or LicenseRef- and a name of your choice for terms that SPDX does not list"
        )
    return expression


@functools.lru_cache(maxsize=4096)
def may_republish(license: str | None) -> bool:
    """Whether a text under this license may be republished by anybody, for any purpose; see the module.

    Args:
        license: an SPDX identifier or expression, or a name or address that `normalise` knows; None where
            nobody stated one.
    """
    expression = _parsed(license)
    return expression is not None and _allows(expression)


def terms(license: str | None) -> frozenset[Terms]:
    """What the parts of a license that may be republished under ask for; of alternatives, what each asks.

    Empty for a license that may not be republished under.
    """
    if not may_republish(license):
        return frozenset()
    keys = _licensing().license_keys(_parsed(license))
    return frozenset(TERMS[plain] for plain in map(_plain_identifier, keys) if plain in TERMS)


def _allows(expression: "Expression") -> bool:
    from license_expression import LicenseWithExceptionSymbol

    if isinstance(expression, LicenseWithExceptionSymbol):
        listed = _licensing().known_symbols.get(expression.exception_symbol.key)
        # What SPDX does not list (e.g. Commons-Clause) may as well take a permission away.
        is_exception = listed is not None and listed.is_exception
        return is_exception and _allows(expression.license_symbol)
    if not expression.args:
        return _plain_identifier(expression.key) in TERMS
    allowed = [_allows(part) for part in expression.args]
    return any(allowed) if isinstance(expression, _licensing().OR) else all(allowed)


def _plain_identifier(name: str) -> str:
    """The identifier by which `TERMS` lists an operand, a name or an identifier."""
    # "Any later version", written +, is a choice that includes this version.
    return _JURISDICTION.sub(r"\1", _of_name(name) or name.removesuffix("+"))


def _parsed(license: str | None) -> "Expression | None":
    """The expression that a license is; None for what is none, such as a sentence that has "or" in it."""
    if not license or len(license) > _MAX_CHARACTERS:
        return None
    try:
        expression = _licensing().parse(_of_name(license) or license)
    except Exception:  # not only its ExpressionError: "()" is an IndexError
        return None
    if expression is None:  # of white space
        return None
    names = _licensing().license_keys(expression)
    return None if any(" " in _plain_identifier(name) for name in names) else expression


def _of_expression(text: str) -> str | None:
    """The expression in SPDX's own spelling, if it knows every identifier in it."""
    expression = _parsed(text)
    if expression is None:
        return None
    unlisted = set(_licensing().unknown_license_keys(expression)) - {ARXIV_LICENSE, PUBLIC_DOMAIN}
    return None if unlisted else expression.render()


def _of_name(name: str) -> str | None:
    """The identifier that an address or a name stands for, or None."""
    folded = " ".join(name.replace("_", "-").casefold().split())
    if "://" in folded or folded.startswith(("www.", "creativecommons.org", "arxiv.org", "//")):
        return _of_address(folded)
    if folded in _NAMES:
        return _NAMES[folded]
    for identifier in (ARXIV_LICENSE, PUBLIC_DOMAIN):
        if folded == identifier.casefold():
            return identifier
    for word, short in _CC_WORDS:
        folded = folded.replace(word, short)
    match = _CC_NAME.fullmatch(folded)
    if not match:
        return None
    parts, version, jurisdiction = match.groups()
    return _cc_identifier(parts, version if "." in version else f"{version}.0", jurisdiction)


def _of_address(address: str) -> str | None:
    try:
        parts = urlsplit(address if "://" in address else f"https://{address.removeprefix('//')}")
    except ValueError:  # e.g. an unclosed bracket in the host
        return None
    host, path = (parts.hostname or "").removeprefix("www."), parts.path.rstrip("/")
    if host == "arxiv.org" and path.startswith("/licenses/nonexclusive-distrib"):
        return ARXIV_LICENSE
    if host == "apache.org" and path.startswith("/licenses/license-2.0"):
        return "Apache-2.0"
    if (host, path.rpartition("/")[0]) in _LISTS:
        name = path.rpartition("/")[2].removesuffix(".html")
        return _of_name(name) or _of_expression(name)
    if host != "creativecommons.org":
        return None
    if path.startswith("/publicdomain/zero"):
        return "CC0-1.0"
    if path.startswith("/publicdomain/mark"):
        return "CC-PDM-1.0"
    if path.startswith("/licenses/publicdomain"):
        return "CC-PDDC"
    match = _CC_PATH.fullmatch(path)
    return _cc_identifier(*match.groups()) if match else None


def _cc_identifier(parts: str, version: str, jurisdiction: str | None) -> str:
    """The identifier of a Creative Commons license; with its jurisdiction only where SPDX lists that one."""
    identifier = f"CC-{parts.upper()}-{version}"
    ported = f"{identifier}-{(jurisdiction or '').upper()}"
    return ported if ported in _licensing().known_symbols else identifier


@functools.cache
def _licensing() -> "Licensing":
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()

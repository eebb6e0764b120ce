"""Licenses as SPDX identifiers, and which of them let a text be published again."""

import re
from urllib.parse import urlsplit

ARXIV_LICENSE = "LicenseRef-arXiv-nonexclusive-distrib"
"""arXiv's license lets arXiv alone distribute; SPDX lists none like it, so it has the form for others."""
PUBLIC_DOMAIN = "LicenseRef-public-domain"
"""Nobody holds rights (e.g. works of the United States government, 17 U.S.C. § 105); no SPDX identifier."""

_CC_PARTS = r"(by(?:-(?:nc|sa|nd|nc-sa|nc-nd))?)"
_CC_PATH = re.compile(rf"/licenses/{_CC_PARTS}/(\d\.\d)(?:/([a-z]{{2,3}}))?(?:/.*)?")
_CC_NAME = re.compile(rf"cc[ -]?{_CC_PARTS}[ -]v?(\d(?:\.\d)?)(?:[ -](?:international|unported|intl\.?))?")
# The jurisdictions with an SPDX identifier of their own (license list 3.27); others keep the generic one.
_PORTED = {
    "by": {"2.5": {"au"}, "3.0": {"at", "au", "de", "igo", "nl", "us"}},
    "by-sa": {"2.0": {"uk"}, "2.1": {"jp"}, "3.0": {"at", "de", "igo"}},
    "by-nc": {"3.0": {"de"}},
    "by-nd": {"3.0": {"de"}},
    "by-nc-sa": {"2.0": {"de", "fr", "uk"}, "3.0": {"de", "igo"}},
    "by-nc-nd": {"3.0": {"de", "igo"}},
}
_WORDS = {
    "public domain": PUBLIC_DOMAIN,
    "publicdomain": PUBLIC_DOMAIN,
    "pd": PUBLIC_DOMAIN,
    "us government work": PUBLIC_DOMAIN,
    "cc0": "CC0-1.0",
    "cc zero": "CC0-1.0",
    "cc0 1.0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0",
    "cc0 1.0 universal": "CC0-1.0",
    "gfdl": "GFDL-1.3-or-later",
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
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
# Version numbers differ in the terms of attribution, not in whether a copy may be distributed.
_PUBLISHABLE = re.compile(r"CC0-1\.0|CC-PDDC|CC-PDM-1\.0|PDDL-1\.0|CC-BY(-SA)?-\d\.\d(-[A-Z]{2,3})?")


def normalise(license: str | None) -> str | None:
    """A license's SPDX identifier, from an identifier, a name or an address; what is unknown, unchanged.

    Only names that state which version they mean are known: ``CC BY`` alone is none.

    >>> normalise("http://creativecommons.org/licenses/by/4.0/")
    'CC-BY-4.0'
    """
    if license is None or not license.strip():
        return None
    folded = " ".join(license.replace("_", "-").casefold().split())
    if "://" in folded or folded.startswith(("www.", "creativecommons.org", "arxiv.org", "//")):
        return _of_address(folded) or license
    if folded in _WORDS:
        return _WORDS[folded]
    for known in (ARXIV_LICENSE, PUBLIC_DOMAIN):
        if folded == known.casefold():
            return known
    for word, short in _CC_WORDS:
        folded = folded.replace(word, short)
    named = _CC_NAME.fullmatch(folded)
    if named:
        version = named[2] if "." in named[2] else f"{named[2]}.0"
        return f"CC-{named[1].upper()}-{version}"
    return license


def may_publish(license: str | None) -> bool:
    """Whether a text under this SPDX identifier may be published again, by anybody and for any purpose.

    True of the public domain, CC0, CC BY and CC BY-SA (with attribution, which a document's URL, title
    and license give). Not of NC and ND, nor of anything unknown.
    """
    return license is not None and (license == PUBLIC_DOMAIN or bool(_PUBLISHABLE.fullmatch(license)))


def _of_address(address: str) -> str | None:
    try:
        parts = urlsplit(address if "://" in address else f"https://{address.removeprefix('//')}")
    except ValueError:  # e.g. an unclosed bracket in the host
        return None
    host, path = (parts.hostname or "").removeprefix("www."), parts.path.rstrip("/")
    if host == "arxiv.org" and path.startswith("/licenses/nonexclusive-distrib"):
        return ARXIV_LICENSE
    if host == "spdx.org" and path.startswith("/licenses/"):
        return normalise(path.rpartition("/")[2].removesuffix(".html"))
    if host != "creativecommons.org":
        return None
    if path.startswith("/publicdomain/zero"):
        return "CC0-1.0"
    if path.startswith("/publicdomain/mark"):
        return "CC-PDM-1.0"
    if path.startswith("/licenses/publicdomain"):
        return "CC-PDDC"
    match = _CC_PATH.fullmatch(path)
    if not match:
        return None
    kind, version, port = match.groups()
    ported = port in _PORTED.get(kind, {}).get(version, ())
    return f"CC-{kind.upper()}-{version}" + (f"-{port.upper()}" if ported else "")

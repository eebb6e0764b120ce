"""License names for the crawlers' sources; `evalkit.licenses` knows them."""

from evalkit.licenses import ARXIV_LICENSE, PUBLIC_DOMAIN, may_publish, normalise

__all__ = ["ARXIV_LICENSE", "PUBLIC_DOMAIN", "may_publish", "normalise"]

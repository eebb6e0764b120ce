"""License names for the crawlers' sources; `evalkit.corpora.licenses` knows them."""

from evalkit.corpora.licenses import ARXIV_LICENSE, PUBLIC_DOMAIN, may_publish, normalise

__all__ = ["ARXIV_LICENSE", "PUBLIC_DOMAIN", "may_publish", "normalise"]

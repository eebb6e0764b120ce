"""Repositories by the URLs of what lies in them."""

from urllib.parse import urlsplit


def repository_of_url(url: str | None) -> str | None:
    """``host/owner/repository`` of a URL on GitHub, a GitLab or Hugging Face; None for any other."""
    try:
        parts = urlsplit(url or "")
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:  # e.g. an unclosed bracket in the host
        return None
    path = [segment for segment in parts.path.lower().split("/") if segment]
    if host == "raw.githubusercontent.com":
        host = "github.com"
    if host.startswith("gitlab."):  # projects may lie in subgroups; /-/ ends the project's path
        end = path.index("-") if "-" in path else 2
    elif host == "huggingface.co" and path[:1] in (["datasets"], ["spaces"]):
        end = 3
    elif host in ("github.com", "huggingface.co"):
        end = 2
    else:
        return None
    return "/".join([host, *path[:end]]) if len(path) >= end >= 2 else None

"""Crawlers of dated text, one module per source; they plug into evalkit by entry points."""

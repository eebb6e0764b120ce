"""Probes of what an architecture can track; they plug into evalkit by entry points."""

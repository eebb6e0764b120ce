"""Polite HTTP: pacing, robots.txt, checked addresses, bounded bodies, and captures that are kept."""

"""Plots of probes; `evalkit plot` and the site find them under the entry-point group `evalkit.plots`."""

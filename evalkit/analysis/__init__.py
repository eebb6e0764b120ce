"""Analysis: every number that reports, plots and exports show, computed from cells."""

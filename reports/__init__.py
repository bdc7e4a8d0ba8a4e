"""Pure functions from stored rows to tables, statistics, plots and pages. No torch here."""

"""Shards -> records, statistics, problems."""

SHEET = "contact_sheet.png"  # The default name.
MAX_PROBLEMS = 20  # Of records, which are printed per split.

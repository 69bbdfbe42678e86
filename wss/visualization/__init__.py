"""Visualization of runs: label colors, figures and the report page."""

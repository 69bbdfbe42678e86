"""The report on finished runs: results, and the page that shows them."""

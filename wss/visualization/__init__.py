"""What runs learned, as colors, figures and a page."""

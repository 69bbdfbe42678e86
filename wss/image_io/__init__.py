"""Image files: finding them in folders, reading them upright, writing results."""

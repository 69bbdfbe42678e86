"""Photos in files, as people have them: found in folders, opened, turned upright."""

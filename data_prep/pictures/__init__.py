"""Image and mask files: decoding, colours to classes, polygons to masks."""

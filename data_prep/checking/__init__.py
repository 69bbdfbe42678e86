"""What lies in shards: read back, counted, judged, shown."""

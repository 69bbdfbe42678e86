"""Examples -> shards, on all cores or on Apache Beam, resumable."""

"""Writes examples to shards, on all cores or on Apache Beam; runs can resume."""

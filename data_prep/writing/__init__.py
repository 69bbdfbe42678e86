"""From examples to shards: on all cores or on Beam, resumable."""

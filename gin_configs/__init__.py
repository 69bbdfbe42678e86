"""One gin file per published experiment; `base/` holds what they share."""

"""Networks: images to logits and features, without labels and losses."""

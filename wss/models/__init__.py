"""Networks: images to logits and features; they know no labels and no losses."""

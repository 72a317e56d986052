"""What blip_together gives of an image: the fields of its row, in order; each a part of which functions take theirs."""

PARTS = ("embedding", "features", "probabilities", "logits", "probabilities_of_many")

"""A model's name, pixels, texts -> embeddings, patch features, match logits."""

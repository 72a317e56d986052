"""A tree -> a table of its embeddings, kept up to date."""

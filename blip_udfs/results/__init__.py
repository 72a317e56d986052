"""A table of embeddings, sentences -> ranked rows, pages, sheets."""

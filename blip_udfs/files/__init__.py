"""A tree, a path, bytes -> rows, bytes, pixels."""

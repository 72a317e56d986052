"""The drawn ONCE world, the bundled model and how it was trained, the demo."""

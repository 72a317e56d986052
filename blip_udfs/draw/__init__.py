"""A seed -> a drawn world, and an ONCE tree of its pictures."""

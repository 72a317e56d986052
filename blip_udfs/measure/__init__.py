"""Models, ways to run them -> figures: quality, speed, memory."""

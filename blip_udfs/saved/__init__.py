"""Saved searches, a table that grows -> what they find among its new rows."""

"""The catalog of functions -> the reference page, the Databricks script."""

"""The extension for Spark's JVM: Scala sources, and how they become a jar."""

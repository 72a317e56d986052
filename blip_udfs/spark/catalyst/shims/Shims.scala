package org.apache.spark.sql.blip

/**
 * What differs between Sparks. Of each folder beside this file the build takes one source, that of the newest line which
 * is not newer than the Spark it compiles for; nothing else in the extension asks for a version.
 */
object Shims extends SparkShims with InnerProductShim with ViewsShim

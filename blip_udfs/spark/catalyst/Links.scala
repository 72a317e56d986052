package org.apache.spark.sql.blip

import java.io.{DataInputStream, File, InputStream}
import java.util.jar.JarFile

import scala.collection.mutable

/**
 * What the extension's classes call -> what of it this Spark does not have. The JVM links a method when it is first
 * called, in the middle of a query; a jar for another Spark is told from a fitting one here, before any is.
 */
object Links {
  private type Member = (String, String, String) // owner, name, descriptor
  private val own = getClass.getPackage.getName.replace('.', '/') + "/"
  private val loader = getClass.getClassLoader

  /** The first that is missing, as a reader would name it. */
  lazy val missing: Option[String] = {
    val wanted = ourClasses.flatMap(read(_).get.calls).filterNot { case (owner, _, _) => isTaken(owner) }.distinct
    wanted.find { case (owner, name, descriptor) => !has(owner, name, descriptor) }
      .map { case (owner, name, _) => s"${owner.replace('/', '.').stripSuffix("$")}.${name.split("[$]default[$]").head}" }
  }

  /** Exits with 1 where something is missing. */
  def main(arguments: Array[String]): Unit = missing.foreach { name =>
    System.err.println(name)
    System.exit(1)
  }

  /** Of the JDK, ours, or an array's. */
  private def isTaken(owner: String): Boolean =
    owner.startsWith("java/") || owner.startsWith("javax/") || owner.startsWith(own) || owner.startsWith("[")

  private def ourClasses: Seq[String] = {
    val jar = new JarFile(new File(getClass.getProtectionDomain.getCodeSource.getLocation.toURI)) // a path with %20
    try {
      val names = mutable.Buffer[String]()
      jar.stream.forEach(entry => if (entry.getName.endsWith(".class")) names += entry.getName.stripSuffix(".class"))
      names.toSeq
    } finally jar.close()
  }

  private def has(owner: String, name: String, descriptor: String): Boolean = read(owner).exists { found =>
    found.members.contains((name, descriptor)) || found.above.exists { above =>
      if (above.startsWith("java/")) inJdk(above, name) else has(above, name, descriptor)
    }
  }

  private def inJdk(owner: String, name: String): Boolean =
    Class.forName(owner.replace('/', '.')).getMethods.exists(_.getName == name) ||
      classOf[Object].getDeclaredMethods.exists(_.getName == name)

  private case class Parsed(calls: Seq[Member], members: Set[(String, String)], above: Seq[String])

  private val parsed = mutable.Map[String, Option[Parsed]]()

  private def read(name: String): Option[Parsed] = parsed.getOrElseUpdate(name, {
    Option(loader.getResourceAsStream(name + ".class")).map { stream =>
      try parse(stream) finally stream.close()
    }
  })

  /** A class file, by chapter 4 of the Java Virtual Machine Specification. */
  private def parse(stream: InputStream): Parsed = {
    val bytes = new DataInputStream(new java.io.BufferedInputStream(stream))
    bytes.skipBytes(8) // magic and version
    val pool = new Pool(bytes)
    bytes.skipBytes(4) // access and this class
    val above = (bytes.readUnsignedShort() +: Seq.fill(bytes.readUnsignedShort())(bytes.readUnsignedShort()))
      .filter(_ != 0).map(pool.className)
    val members = Seq.fill(2)(Seq.fill(bytes.readUnsignedShort()) { // fields, then methods
      bytes.skipBytes(2)
      val member = (pool.text(bytes.readUnsignedShort()), pool.text(bytes.readUnsignedShort()))
      (0 until bytes.readUnsignedShort()).foreach { _ =>
        bytes.skipBytes(2)
        bytes.readFully(new Array[Byte](bytes.readInt())) // Java 11, of some 3.5 platforms, has no skipNBytes
      }
      member
    })
    Parsed(pool.calls, members.flatten.toSet, above)
  }

  /** The constants of a class: names, and what is called of others. */
  private class Pool(bytes: DataInputStream) {
    private val size = bytes.readUnsignedShort()
    private val texts = new Array[String](size)
    private val pairs = new Array[(Int, Int)](size)
    private val references = mutable.Buffer[(Int, Int)]()
    fill(1)

    def text(index: Int): String = texts(index)
    def className(index: Int): String = texts(pairs(index)._1)

    def calls: Seq[Member] = references.toSeq.map { case (owner, called) =>
      val (name, descriptor) = pairs(called)
      (className(owner), texts(name), texts(descriptor))
    }

    @scala.annotation.tailrec
    private def fill(index: Int): Unit = if (index < size) {
      val tag = bytes.readUnsignedByte()
      tag match {
        case 1 => texts(index) = bytes.readUTF()
        case 3 | 4 => bytes.skipBytes(4)
        case 5 | 6 => bytes.skipBytes(8)
        case 7 | 8 | 16 | 19 | 20 => pairs(index) = (bytes.readUnsignedShort(), 0)
        case 9 | 10 | 11 => references += ((bytes.readUnsignedShort(), bytes.readUnsignedShort()))
        case 12 | 17 | 18 => pairs(index) = (bytes.readUnsignedShort(), bytes.readUnsignedShort())
        case 15 => bytes.skipBytes(3)
      }
      fill(if (tag == 5 || tag == 6) index + 2 else index + 1)
    }
  }
}

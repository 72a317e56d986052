package org.apache.spark.sql.blip

import java.nio.charset.StandardCharsets.UTF_8
import java.util.Base64

import org.json4s.{DefaultFormats, Formats, JValue}
import org.json4s.jackson.JsonMethods.parse

import org.apache.spark.sql.catalyst.expressions.{ExpressionInfo, PythonUDF}
import org.apache.spark.sql.types.DataType

/** The catalog of functions as Python wrote it into the jar. No function is named here. */
object Manifest {
  private implicit val formats: Formats = DefaultFormats

  case class Parameter(name: String, types: Seq[String], meaning: String, default: Option[String]) {
    lazy val accepted: Seq[DataType] = types.map(DataType.fromDDL)
  }

  case class Description(usage: String, arguments: String, examples: String)

  case class Record(
      name: String,
      kind: String,
      parameters: Seq[Parameter],
      returns: String,
      description: Description,
      since: String,
      role: Option[String],
      part: Option[String],
      tolerant: Boolean,
      deterministic: Boolean,
      evalType: Int,
      command: Seq[Byte]) {

    /** What DESCRIBE FUNCTION EXTENDED shows. */
    def info: ExpressionInfo = new ExpressionInfo(
      classOf[BlipExtensions].getName, null, name, description.usage, description.arguments, description.examples,
      "", "", since, "", "python_udf")
  }

  lazy val records: Seq[Record] = (parse(resource("manifest.json")) \ "functions").children.map(record)
  lazy val scalars: Seq[Record] = records.filter(_.kind == "scalar")
  private lazy val byName: Map[String, Record] = scalars.map(record => record.name -> record).toMap

  /** Keys and defaults of the settings on which every function's answer depends, of those that rank rows, and of those
   * that only say something. */
  lazy val settings: Map[String, String] = defaults("all")
  lazy val ranking: Map[String, String] = defaults("ranking")
  lazy val watching: Map[String, String] = defaults("watching")

  private def defaults(group: String): Map[String, String] =
    (parse(resource("manifest.json")) \ "settings" \ group).extract[Map[String, String]]

  /** ONCE's lists of sequences, the first that lists one being its own, and how names of images end. */
  lazy val splits: Seq[String] = once("splits")
  lazy val suffixes: Seq[String] = once("suffixes")

  private def once(name: String): Seq[String] = (parse(resource("manifest.json")) \ "once" \ name).extract[Seq[String]]

  /** The limits of one image by the variable that changes them; how what is read for a worker begins. */
  lazy val limits: Map[String, Long] = (parse(resource("manifest.json")) \ "limits").extract[Map[String, Long]]
  lazy val carried: String = (parse(resource("manifest.json")) \ "carried").extract[String]

  /** The record of one of our functions that a call is of, by what its command says: a name anybody can take. */
  def of(call: PythonUDF): Option[Record] = Command.name(call).flatMap(byName.get)

  def has(call: PythonUDF, roles: String*): Boolean = of(call).exists(_.role.exists(roles.contains))

  def withRole(role: String, tolerant: Boolean = false): Record =
    records.find(record => record.role.contains(role) && record.tolerant == tolerant).get

  /** How stored patch features begin, and where in them the digest of their model is, counted from 1. */
  case class Features(magic: String, digest: Int, digits: Int)
  lazy val features: Features = (parse(resource("manifest.json")) \ "features").extract[Features]

  /** How many bins of similarity there are: the middle one begins at 0. */
  lazy val bins: Int = (parse(resource("manifest.json")) \ "bins").extract[Int]

  /** The line of Spark that the jar is for: 4.3 of 4.3.0. */
  lazy val spark: String = (parse(resource("manifest.json")) \ "spark").extract[String]

  def resource(name: String): String = {
    val stream = classOf[BlipExtensions].getResourceAsStream(s"/blip_udfs/$name")
    try new String(stream.readAllBytes(), UTF_8) finally stream.close()
  }

  private def record(json: JValue): Record = Record(
    name = (json \ "name").extract[String],
    kind = (json \ "kind").extract[String],
    parameters = (json \ "parameters").children.map { each =>
      Parameter(
        (each \ "name").extract[String], (each \ "types").extract[Seq[String]],
        (each \ "meaning").extract[String], (each \ "default").extractOpt[String])
    },
    returns = (json \ "returns").extract[String],
    description = (json \ "description").extract[Description],
    since = (json \ "since").extract[String],
    role = (json \ "role").extractOpt[String],
    part = (json \ "part").extractOpt[String],
    tolerant = (json \ "tolerant").extractOrElse(false),
    deterministic = (json \ "deterministic").extractOrElse(true),
    evalType = (json \ "evalType").extractOrElse(0),
    command = (json \ "command").extractOpt[String].fold(Seq.empty[Byte])(Base64.getDecoder.decode(_).toSeq))
}

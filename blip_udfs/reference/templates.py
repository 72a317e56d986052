"""A package's templates of SQL and Markdown -> their Jinja environment."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def plain(package: str = "blip_udfs.reference") -> Environment:
    """Of text that is not HTML, so that nothing is escaped; a name that is not given is an error."""
    return Environment(
        loader=PackageLoader(package, "."),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

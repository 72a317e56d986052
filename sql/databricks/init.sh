#!/bin/bash
# Cluster-scoped init script: the package for the Python of driver and workers, the extension's jar for the JVM.
# It belongs into the Volume with the wheels and is named in the cluster's settings (Advanced, Init scripts).
# A jar among the cluster's libraries comes too late: spark.sql.extensions is read when Spark starts.
set -euo pipefail

# Environment variables of the cluster's settings, or these defaults.
WHEELS=${BLIP_WHEELS:-/Volumes/main/blip/wheels}
PYTHON=${BLIP_PYTHON:-/databricks/python/bin/python}
JARS=${BLIP_JARS:-/databricks/jars}

refuse() {
  echo "blip-udfs: $1" >&2
  exit 1 # the cluster does not start, and its event log has the line above
}

shopt -s nullglob
wheels=("$WHEELS"/blip_udfs-*.whl)
[ ${#wheels[@]} = 1 ] || refuse "expected one blip_udfs-*.whl in $WHEELS, found ${#wheels[@]}"

# pip would put Apache Spark's pyspark over Databricks' own.
"$PYTHON" - "${wheels[0]}" <<'EOF' || refuse "${wheels[0]} requires pyspark; build it with BLIP_UDFS_PYSPARK=provided"
import re, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))).decode()
sys.exit(bool(re.search(r"^Requires-Dist: pyspark\b", metadata, re.MULTILINE)))
EOF

# A torch wheel beside it is one without CUDA. Without one, pip takes the runtime's torch if it fits, else PyPI's.
"$PYTHON" -m pip install --quiet "$WHEELS"/torch-*.whl "${wheels[0]}"

# Rules compiled for another Spark could fail in any query.
spark=$("$PYTHON" -c 'from pyspark.version import __version__ as v; print(".".join(v.split(".")[:3]))')
package=$("$PYTHON" -c 'from importlib.util import find_spec as f; print(f("blip_udfs").submodule_search_locations[0])')
jar="$package/catalyst/blip-udfs_2.13-spark$spark.jar"
[ -e "$jar" ] || refuse "expected $jar; build the wheel where pyspark $spark is installed"
cp "$jar" "$JARS/"

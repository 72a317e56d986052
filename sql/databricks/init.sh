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

# A torch wheel beside it is one without CUDA. Without one, pip takes the runtime's torch if it fits, else PyPI's.
"$PYTHON" -m pip install --quiet "$WHEELS"/torch-*.whl "${wheels[0]}"

# The wheel's jar for this Spark, else one compiled here; a line and a Scala of Spark each have their own.
jar=$("$PYTHON" -m blip_udfs.spark.catalyst.build) || refuse "no jar for this Spark, the last line above says why"
cp "$jar" "$JARS/"

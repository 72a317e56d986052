-- BLIP as Unity Catalog functions, and an ONCE tree as a view. Written by blip-udfs databricks from the catalog.
-- Not run on Databricks: the tests parse its statements and run its handlers. What works where: README.md beside it.
--
-- No SET of a session reaches these functions; what they know of settings: {"spark.blip.model": "demo"}.
-- They read no files, so that an image is BINARY. read_once is the view once; what blip_search does is in search.sql.

CREATE OR REPLACE FUNCTION main.blip.blip_image_embed(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features'
)
RETURNS ARRAY<FLOAT>
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'The image\'s L2-normalised ITC embedding (256 numbers for the published checkpoints)'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
    yield from run("blip_image_embed", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.try_blip_image_embed(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features'
)
RETURNS ARRAY<FLOAT>
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'The image\'s L2-normalised ITC embedding (256 numbers for the published checkpoints); NULL where blip_image_embed would raise because of that row\'s image'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
    yield from run("try_blip_image_embed", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.blip_text_embed(
  text STRING COMMENT 'a sentence; what exceeds 35 tokens is cut, as BLIP does'
)
RETURNS ARRAY<FLOAT>
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'The text\'s L2-normalised ITC embedding, in the same space as blip_image_embed\'s'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
    yield from run("blip_text_embed", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.blip_itm(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features',
  text STRING COMMENT 'a sentence; what exceeds 35 tokens is cut, as BLIP does'
)
RETURNS DOUBLE
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'The probability that the text describes the image: softmax over BLIP\'s image-text matching head, in float64 so that strong matches do not tie'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
    yield from run("blip_itm", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.try_blip_itm(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features',
  text STRING COMMENT 'a sentence; what exceeds 35 tokens is cut, as BLIP does'
)
RETURNS DOUBLE
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'The probability that the text describes the image: softmax over BLIP\'s image-text matching head, in float64 so that strong matches do not tie; NULL where blip_itm would raise because of that row\'s image'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
    yield from run("try_blip_itm", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.blip_itm_logit(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features',
  text STRING COMMENT 'a sentence; what exceeds 35 tokens is cut, as BLIP does'
)
RETURNS FLOAT
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'The match logit of BLIP\'s image-text matching head, the paper\'s re-ranking term'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
    yield from run("blip_itm_logit", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.try_blip_itm_logit(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features',
  text STRING COMMENT 'a sentence; what exceeds 35 tokens is cut, as BLIP does'
)
RETURNS FLOAT
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'The match logit of BLIP\'s image-text matching head, the paper\'s re-ranking term; NULL where blip_itm_logit would raise because of that row\'s image'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
    yield from run("try_blip_itm_logit", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.blip_itm_many(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features',
  texts ARRAY<STRING> COMMENT 'sentences, each scored on its own'
)
RETURNS ARRAY<DOUBLE>
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'blip_itm of one image and many texts, in one pass over the image'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
    yield from run("blip_itm_many", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.try_blip_itm_many(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features',
  texts ARRAY<STRING> COMMENT 'sentences, each scored on its own'
)
RETURNS ARRAY<DOUBLE>
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'blip_itm of one image and many texts, in one pass over the image; NULL where blip_itm_many would raise because of that row\'s image'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
    yield from run("try_blip_itm_many", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.blip_image_features(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features'
)
RETURNS BINARY
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'All patch features of the image (577 x 768 for base at 384 px) in half precision, or by SET spark.blip.features = int8 in half the bytes, behind a header (magic, version, shape, dtype, model digest); the other functions take them in place of the image and skip the vision encoder'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
    yield from run("blip_image_features", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.try_blip_image_features(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features'
)
RETURNS BINARY
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'All patch features of the image (577 x 768 for base at 384 px) in half precision, or by SET spark.blip.features = int8 in half the bytes, behind a header (magic, version, shape, dtype, model digest); the other functions take them in place of the image and skip the vision encoder; NULL where blip_image_features would raise because of that row\'s image'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
    yield from run("try_blip_image_features", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.blip_similarity(
  a ARRAY<FLOAT> COMMENT 'an embedding',
  b ARRAY<FLOAT> COMMENT 'one of the same length'
)
RETURNS FLOAT
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'The inner product of two embeddings: of BLIP\'s, which are of length 1, their cosine similarity'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
    yield from run("blip_similarity", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.blip_model()
RETURNS STRING
LANGUAGE PYTHON
DETERMINISTIC
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'Name and content digest of the model that these functions use, to store beside embeddings'
AS $$
from blip_udfs.reference.databricks import model_label

return model_label({"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.blip_image_error(
  image BINARY COMMENT 'an encoded image\'s bytes, or patch features made by blip_image_features'
)
RETURNS STRING
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'NULL if the image decodes, else why not'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
    yield from run("blip_image_error", batches, {"spark.blip.model": "demo"})
$$;

CREATE OR REPLACE FUNCTION main.blip.once_text(
  path STRING COMMENT 'the file\'s name',
  content BINARY COMMENT 'its bytes'
)
RETURNS STRING
LANGUAGE PYTHON
DETERMINISTIC
PARAMETER STYLE PANDAS
HANDLER 'handler'
ENVIRONMENT (
  dependencies = '["/Volumes/main/blip/wheels/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "/Volumes/main/blip/wheels/blip_udfs-0.1.0-py3-none-any.whl"]',
  environment_version = 'None'
)
COMMENT 'A text file of an ONCE tree as JSON in which all fits: a sequence\'s record, or the lines of a list'
AS $$
from collections.abc import Iterator

import pandas as pd

from blip_udfs.reference.databricks import run

def handler(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
    yield from run("once_text", batches, {"spark.blip.model": "demo"})
$$;

-- The ONCE tree at /Volumes/main/blip/once, as read_once(root, image_bytes => true) gives it.
CREATE OR REPLACE VIEW main.blip.once AS
WITH image_files AS (
  SELECT place, sequence_id, camera, regexp_extract(path, '/([^/]+)[.][^./]+$', 1) AS frame_id, content AS image,
         modificationTime AS modified, length
  FROM (SELECT regexp_extract(substring(path, locate('/Volumes/main/blip/once/data/', path) + 24), '(?s)^(.*)/[^/]+/[^/]+$', 1) AS place, regexp_extract(substring(path, locate('/Volumes/main/blip/once/data/', path) + 24), '([^/]+)/[^/]+/[^/]+$', 1) AS sequence_id, regexp_extract(substring(path, locate('/Volumes/main/blip/once/data/', path) + 24), '([^/]+)/[^/]+$', 1) AS camera, path, modificationTime, length, content FROM read_files('/Volumes/main/blip/once/data', format => 'binaryFile', pathGlobFilter => '*.{[jJ][pP][gG],[jJ][pP][eE][gG],[pP][nN][gG],[wW][eE][bB][pP],[bB][mM][pP],[tT][iI][fF],[tT][iI][fF][fF],[gG][iI][fF]}') WHERE substring(path, locate('/Volumes/main/blip/once/data/', path) + 24) RLIKE '^data/(data/)?[^._/][^/]*/[^._/][^/]*/[^._/][^/]*$')
),
sequences AS (
  SELECT place, sequence_id, from_json(
           value,
           'problem STRING, frames ARRAY<STRUCT<frame_id: STRING, timestamp: BIGINT, weather: STRING, period: STRING,
             seen: MAP<STRING, ARRAY<STRING>>, unfit: STRING>>'
         ) AS content
  FROM (SELECT regexp_extract(substring(path, locate('/Volumes/main/blip/once/data/', path) + 24), '(?s)^(.*)/[^/]+$', 1) AS place, regexp_extract(substring(path, locate('/Volumes/main/blip/once/data/', path) + 24), '([^/]+)/[^/]+$', 1) AS sequence_id, main.blip.once_text(path, content) AS value, path FROM read_files('/Volumes/main/blip/once/data', format => 'binaryFile', pathGlobFilter => '*.[jJ][sS][oO][nN]') WHERE substring(path, locate('/Volumes/main/blip/once/data/', path) + 24) RLIKE '^data/(data/)?([^/]+)/\\2[.](?i:json)$')
),
frames AS (  -- outer: else Spark would read each JSON twice, to ask first whether it has frames
  SELECT place, sequence_id, inline_outer(content.frames) FROM sequences
),
listed AS (
  SELECT sequence_id, collect_set(name) AS splits
  FROM (SELECT name, explode_outer(from_json(value, 'ARRAY<STRING>')) AS sequence_id FROM (SELECT regexp_extract(path, '/ImageSets/([^/]+)[.]txt$', 1) AS name, main.blip.once_text(path, content) AS value FROM read_files('/Volumes/main/blip/once/ImageSets', format => 'binaryFile', pathGlobFilter => '*.txt')))
  GROUP BY sequence_id
),
regional AS (
  SELECT words[0] AS sequence_id, first(words[1]) AS region
  FROM (
    SELECT split(line, '[ \t]+', 2) AS words
    FROM (SELECT explode_outer(from_json(value, 'ARRAY<STRING>')) AS line FROM (SELECT regexp_extract(path, '/ImageSets/([^/]+)[.]txt$', 1) AS name, main.blip.once_text(path, content) AS value FROM read_files('/Volumes/main/blip/once/ImageSets', format => 'binaryFile', pathGlobFilter => '*.txt')) WHERE name = 'region_type')
  )
  WHERE size(words) = 2
  GROUP BY words[0]
),
joined AS (
  SELECT i.*, f.timestamp, f.weather, f.period, r.region, coalesce(l.splits, array()) AS splits,
         try_element_at(f.seen, i.camera) AS seen, f.unfit, f.frame_id IS NOT NULL AS has_record,
         concat(i.place, '/', i.sequence_id, '.json') AS json, s.place IS NOT NULL AS has_json,
         s.content.problem AS broken
  FROM image_files i
  LEFT JOIN sequences s ON i.sequence_id = s.sequence_id AND i.place = s.place
  LEFT JOIN frames f ON i.sequence_id = f.sequence_id AND i.place = f.place AND i.frame_id = f.frame_id
  LEFT JOIN regional r ON i.sequence_id = r.sequence_id
  LEFT JOIN listed l ON i.sequence_id = l.sequence_id
)
SELECT sequence_id, frame_id, camera, image, timestamp_millis(timestamp) AS timestamp, weather, period, region,
       get(filter(array('train', 'val', 'test', 'raw_small', 'raw_medium', 'raw_large'), split -> array_contains(splits, split)), 0) AS split,
       array_sort(array_distinct(seen)) AS classes,
       map_from_entries(
         transform(array_distinct(seen), class -> struct(class, size(filter(seen, other -> other = class))))
       ) AS counts,
       CASE WHEN NOT has_json THEN concat('no file ', json)
            WHEN broken IS NOT NULL THEN concat(json, ' ', broken)
            WHEN NOT has_record THEN concat('no record for frame ', frame_id, ' in ', json)
            WHEN unfit IS NOT NULL THEN concat(unfit, ' of another form for frame ', frame_id, ' in ', json)
       END AS problem,
       modified, length,
       splits
FROM joined;

-- The ONCE tree at ${root} as a table: one row per camera image. Nothing is read but folder listings and JSON.
CREATE OR REPLACE TEMPORARY VIEW once AS SELECT * FROM read_once('${root}');

-- What is in it?
SELECT weather, count(*) AS images, count(DISTINCT sequence_id) AS sequences
FROM once
GROUP BY weather
ORDER BY weather;

-- What is wrong with it? No rows: every image has its record.
SELECT problem, count(*) AS images FROM once WHERE problem IS NOT NULL GROUP BY problem ORDER BY problem;

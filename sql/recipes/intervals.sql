-- When a sentence holds: frames of a drive above a threshold that follow one another, gaps up to 1 second bridged, are
-- one row with their best frame. A drive in which nothing reaches the threshold has none. 0.60 is what the bundled
-- model's card recommends (blip_udfs/demo/model/README.md).
SET threshold = 0.60;
SET gap = 1;

WITH reached AS (
  SELECT *, CAST(timestamp AS DOUBLE) AS seconds
  FROM (SELECT *, try_blip_itm(image, 'a truck') AS score FROM once_embeddings)
  WHERE score >= ${threshold}
),
steps AS (
  SELECT *, seconds - lag(seconds) OVER (PARTITION BY sequence_id ORDER BY timestamp) AS step FROM reached
),
numbered AS (
  SELECT *, count_if(step IS NULL OR step > ${gap}) OVER drive AS number
  FROM steps
  WINDOW drive AS (PARTITION BY sequence_id ORDER BY timestamp ROWS UNBOUNDED PRECEDING)
)
SELECT sequence_id, since, until, frames, mean_score, score, best.*
FROM (
  SELECT sequence_id, min(timestamp) AS since, max(timestamp) AS until, count(*) AS frames, avg(score) AS mean_score,
         max(score) AS score, max_by(struct(frame_id, camera, weather, period, image), score) AS best
  FROM numbered
  GROUP BY sequence_id, number
)
ORDER BY score DESC;

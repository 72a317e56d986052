-- Moments of two sentences, one drive's frames in the order of time: first a pedestrian, then, within 3 seconds, a car.
-- within = 0 finds both at once, by whichever cameras.
SET threshold = 0.60;
SET within = 3;

WITH moments AS (
  SELECT sequence_id, timestamp, CAST(timestamp AS DOUBLE) AS seconds, min(frame_id) AS frame_id,
         max(scores[0]) AS pedestrian, max(scores[1]) AS car
  FROM (SELECT *, try_blip_itm_many(image, array('a pedestrian', 'a car')) AS scores FROM once_embeddings)
  GROUP BY sequence_id, timestamp
)
SELECT sequence_id, since, frame_id, next.*, least(score, next.car) AS score
FROM (
  SELECT earlier.sequence_id, earlier.timestamp AS since, earlier.frame_id, earlier.pedestrian AS score,
         min_by(struct(later.timestamp AS until, later.frame_id AS next_frame_id, later.car), later.seconds) AS next
  FROM moments AS earlier JOIN moments AS later
    ON earlier.sequence_id = later.sequence_id AND later.seconds - earlier.seconds BETWEEN 0 AND ${within}
  WHERE earlier.pedestrian >= ${threshold} AND later.car >= ${threshold}
  GROUP BY earlier.sequence_id, earlier.timestamp, earlier.frame_id, earlier.pedestrian
)
ORDER BY score DESC;

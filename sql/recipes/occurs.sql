-- Does it occur in this drive at all? Of each drive its best frame and whether that reaches the threshold: 0.60 is what
-- the bundled model's card recommends (blip_udfs/demo/model/README.md). ITM scores the 16 frames of each drive that are
-- nearest to the sentence by stored embedding. One drive: FROM once_embeddings WHERE sequence_id = '...'.
SET threshold = 0.60;
SET spark.blip.search.candidates = 16;

SELECT sequence_id, score >= ${threshold} AS occurs, score, best.*
FROM (
  SELECT sequence_id, max(score) AS score, max_by(struct(frame_id, camera, weather, period, image), score) AS best
  FROM (SELECT *, blip_itm(image, 'a bus') AS score FROM once_embeddings)
  GROUP BY sequence_id
)
ORDER BY score DESC;

RESET spark.blip.search.candidates;

-- The two best frames of each sequence: of each, ITM scores only the 4 nearest to the sentence by stored embedding.
SET spark.blip.search.candidates = 4;

SELECT sequence_id, frame_id, camera, weather, period, image, score
FROM (
  SELECT *, row_number() OVER (PARTITION BY sequence_id ORDER BY score DESC) AS place
  FROM (SELECT *, blip_itm(image, 'a truck at night') AS score FROM once_embeddings)
)
WHERE place <= 2
ORDER BY score DESC;

-- How well each sequence matches, and by which of its frames.
SELECT sequence_id, max(score) AS score, max_by(frame_id, score) AS frame_id
FROM (SELECT *, blip_itm(image, 'a truck at night') AS score FROM once_embeddings)
GROUP BY sequence_id
ORDER BY score DESC;

RESET spark.blip.search.candidates;

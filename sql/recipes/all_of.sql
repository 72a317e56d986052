-- Frames that match all of several sentences: the score is the least of the probabilities. The 256 rows nearest to
-- all of them by stored embedding, then ITM on those alone, one pass over each image.
WITH candidates AS (
  SELECT *
  FROM once_embeddings
  ORDER BY least(blip_similarity(embedding, blip_text_embed('a car')),
                 blip_similarity(embedding, blip_text_embed('in the rain'))) DESC
  LIMIT 256
)
SELECT sequence_id, frame_id, camera, weather, period, image, array_min(matches) AS score
FROM (SELECT *, try_blip_itm_many(image, array('a car', 'in the rain')) AS matches FROM candidates)
ORDER BY score DESC LIMIT 12;

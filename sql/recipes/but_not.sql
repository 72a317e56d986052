-- A car, but not at night: the score is the lesser of the probabilities that the one holds and the other does not.
WITH candidates AS (
  SELECT *
  FROM once_embeddings
  ORDER BY blip_similarity(embedding, blip_text_embed('a car'))
           - blip_similarity(embedding, blip_text_embed('at night')) DESC
  LIMIT 256
)
SELECT sequence_id, frame_id, camera, weather, period, image, least(matches[0], 1 - matches[1]) AS score
FROM (SELECT *, try_blip_itm_many(image, array('a car', 'at night')) AS matches FROM candidates)
ORDER BY score DESC LIMIT 12;

-- The images that match a sentence best. With candidates set, ITM scores only the rows nearest by embedding.
SET spark.blip.search.candidates = 256;

SELECT sequence_id, frame_id, camera, weather, period, image,
       blip_itm(image, 'a car driving on an intersection') AS score
FROM once_embeddings
ORDER BY score DESC LIMIT 3;

SELECT sequence_id, frame_id, camera, weather, period, image,
       blip_itm(image, 'a car driving on a highway') AS score
FROM once_embeddings
ORDER BY score DESC LIMIT 3;

-- A WHERE is applied first: the best among the rainy ones.
SELECT sequence_id, frame_id, camera, weather, period, image,
       blip_itm(image, 'a truck at night') AS score
FROM once_embeddings
WHERE weather = 'rainy'
ORDER BY score DESC LIMIT 3;

-- Saved sentences, the best two of each, in one scan; an image is encoded once for all that it is a candidate of.
SELECT query, rank, sequence_id, frame_id, camera, weather, period, round(score, 1) AS score
FROM blip_search(TABLE(SELECT * FROM once_embeddings WHERE weather = 'rainy'), k => 2, queries => TABLE(
  VALUES ('trucks', 'a truck at night'), ('buses', 'a bus in the rain')));

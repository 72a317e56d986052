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

-- The best frame of each drive, the best drives first: of each drive, ITM scores the nearest rows alone.
SELECT sequence_id, max_by(frame_id, score) AS frame_id, max_by(camera, score) AS camera, max(score) AS score
FROM (SELECT *, blip_itm(image, 'a truck at night') AS score FROM once_embeddings)
GROUP BY sequence_id ORDER BY score DESC LIMIT 3;

-- Saved sentences, the best two of each, in one scan; an image is encoded once for all that it is a candidate of.
SELECT query, rank, sequence_id, frame_id, camera, weather, period, round(score, 1) AS score
FROM blip_search(TABLE(SELECT * FROM once_embeddings WHERE weather = 'rainy'), k => 2, queries => TABLE(
  VALUES ('trucks', 'a truck at night'), ('buses', 'a bus in the rain')));

-- All that match, not the best: nine of ten of them or more, with a probability of 0.95. ITM scores the rows that lie
-- above a similarity which samples prove, and the samples.
SET spark.blip.filter.recall = 0.9;

SELECT count(*) AS frames
FROM once_embeddings WHERE blip_itm(image, 'a rainy day') > 0.65;

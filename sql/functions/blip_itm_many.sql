-- Tags for each image: the image is encoded once, whatever the number of texts.
SELECT sequence_id, weather, period,
       transform(blip_itm_many(image, array('in the rain', 'at night', 'a truck')), p -> round(p, 2)) AS tags
FROM once
WHERE frame_id LIKE '%000000' AND camera = 'cam01'
ORDER BY sequence_id LIMIT 4;

-- Zero-shot classification: the text that matches best, beside the metadata.
SELECT weather, seen, count(*) AS images
FROM (
  SELECT weather, array('sunny', 'cloudy', 'rainy')[array_position(scores, array_max(scores)) - 1] AS seen
  FROM (SELECT *, blip_itm_many(image, array('a sunny day', 'a cloudy day', 'a rainy day')) AS scores FROM once)
)
GROUP BY weather, seen ORDER BY weather, images DESC;

-- A text that is NULL, no texts, no array.
SELECT size(texts) AS texts, transform(blip_itm_many(image, texts), p -> p > 0.5) AS matches
FROM once, VALUES (array('a sunny day', NULL)), (array()), (NULL) AS t (texts)
WHERE frame_id = '1616000000000' AND camera = 'cam01'
ORDER BY texts DESC;

-- try_blip_itm_many gives NULL.
SELECT blip_itm_many(CAST('404 Not Found' AS BINARY), array('a car'));

SELECT blip_itm_many(image, 'a car') FROM once;

-- Tags for each image: the image is encoded once, whatever the number of texts.
SELECT sequence_id, weather, period,
       transform(blip_itm_many(image, array('in the rain', 'at night', 'a truck')), p -> round(p, 2)) AS tags
FROM once
WHERE frame_id LIKE '%00000' AND camera = 'cam01'
ORDER BY sequence_id LIMIT 3;
--> +-----------+-------+-------+----------------+
--> |sequence_id|weather|period |tags            |
--> +-----------+-------+-------+----------------+
--> |000000     |rainy  |morning|[1.0, 0.0, 1.0] |
--> |000001     |cloudy |noon   |[0.0, 0.0, 0.92]|
--> |000002     |cloudy |morning|[0.0, 0.0, 1.0] |
--> +-----------+-------+-------+----------------+

-- Zero-shot classification: the text that matches best, beside the metadata.
SELECT weather, seen, count(*) AS images
FROM (
  SELECT weather, array('sunny', 'cloudy', 'rainy')[array_position(scores, array_max(scores)) - 1] AS seen
  FROM (SELECT *, blip_itm_many(image, array('a sunny day', 'a cloudy day', 'a rainy day')) AS scores FROM once)
  WHERE period <> 'night'
)
GROUP BY weather, seen ORDER BY weather, images DESC, seen;
--> +-------+------+------+
--> |weather|seen  |images|
--> +-------+------+------+
--> |cloudy |cloudy|6     |
--> |cloudy |rainy |1     |
--> |cloudy |sunny |1     |
--> |rainy  |rainy |8     |
--> |sunny  |sunny |4     |
--> +-------+------+------+

-- A text that is NULL, no texts, no array.
SELECT size(texts) AS texts, transform(blip_itm_many(image, texts), p -> p > 0.5) AS matches
FROM once, VALUES (array('a sunny day', NULL)), (array()), (NULL) AS t (texts)
WHERE frame_id = '1616000000000' AND camera = 'cam01'
ORDER BY texts DESC;
--> +-----+-------------+
--> |texts|matches      |
--> +-----+-------------+
--> |2    |[false, NULL]|
--> |0    |[]           |
--> |NULL |NULL         |
--> +-----+-------------+

-- try_blip_itm_many gives NULL.
SELECT blip_itm_many(CAST('404 Not Found' AS BINARY), array('a car'));
--> ImageError: expected JPEG, PNG, WebP, BMP, TIFF or GIF, got 13 bytes of another format, which begin with b'404 Not Found'

SELECT blip_itm_many(image, 'a car') FROM once;
--> [DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve "blip_itm_many(image, texts)" due to data type mismatch: The second parameter requires the ("ARRAY<STRING>") type, however "'a car'" has the type "STRING".

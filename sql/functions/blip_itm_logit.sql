-- What BLIP's evaluation ranks by: the match logit + the ITC similarity.
SELECT sequence_id, frame_id, camera, weather, period,
       round(blip_itm_logit(image, 'a bus at night')
             + blip_similarity(embedding, blip_text_embed('a bus at night')), 1) AS score
FROM once_embeddings
ORDER BY score DESC, image LIMIT 3;
--> +-----------+-------------+------+-------+------+-----+
--> |sequence_id|frame_id     |camera|weather|period|score|
--> +-----------+-------------+------+-------+------+-----+
--> |000005     |1616018000500|cam01 |sunny  |night |4.3  |
--> |000005     |1616018000000|cam01 |sunny  |night |4.2  |
--> |000003     |1616010800000|cam03 |cloudy |night |3.4  |
--> +-----------+-------------+------+-------+------+-----+

SELECT blip_itm_logit(NULL, 'a bus at night') AS logit;
--> +-----+
--> |logit|
--> +-----+
--> |NULL |
--> +-----+

-- An image that was cut short. try_blip_itm_logit gives NULL.
SELECT blip_itm_logit(substring(image, 1, 2000), 'a bus at night')
FROM read_once('/data/ONCE', image_bytes => true)
WHERE frame_id = '1616000000000' AND camera = 'cam01';
--> ImageError: JPEG image of 2,000 bytes, 960 x 510 px, does not decode: image file is truncated (10 bytes not processed)

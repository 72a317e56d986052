-- A picture, the first 2,000 bytes of it, none, and no picture at all. A job over a million files goes on.
SELECT bytes, round(try_blip_itm_logit(substring(image, 1, bytes), 'a sunny day'), 1) AS logit
FROM read_once('/data/ONCE', image_bytes => true), VALUES (10000000), (2000), (0), (NULL) AS cut (bytes)
WHERE frame_id = '1616000000000' AND camera = 'cam01'
ORDER BY bytes DESC;

-- What is no fault of the row's image is raised.
SET spark.blip.itm.token = sep;

SELECT try_blip_itm_logit(image, 'a sunny day') FROM once LIMIT 1;

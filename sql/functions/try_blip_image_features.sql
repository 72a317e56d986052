-- A picture, the first 2,000 bytes of it, none, and no picture at all. A job over a million files goes on.
SELECT bytes, length(try_blip_image_features(substring(image, 1, bytes))) AS length
FROM read_once('/data/ONCE', image_bytes => true), VALUES (10000000), (2000), (0), (NULL) AS cut (bytes)
WHERE frame_id = '1616000000000' AND camera = 'cam01'
ORDER BY bytes DESC;

-- What is no fault of the row is raised.
SET spark.blip.model = /models/none;

SELECT try_blip_image_features(image) FROM once LIMIT 1;

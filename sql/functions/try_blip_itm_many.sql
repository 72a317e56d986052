-- A picture, the first 2,000 bytes of it, none, and no picture at all. A job over a million files goes on.
SELECT bytes,
       transform(try_blip_itm_many(substring(image, 1, bytes), array('a sunny day', NULL)), p -> p > 0.5) AS matches
FROM read_once('/data/ONCE', image_bytes => true), VALUES (10000000), (2000), (0), (NULL) AS cut (bytes)
WHERE frame_id = '1616000000000' AND camera = 'cam01'
ORDER BY bytes DESC;

-- What is no fault of the row's image is raised.
SELECT try_blip_itm_many(image, array(repeat('car ', 50000))) FROM once LIMIT 1;

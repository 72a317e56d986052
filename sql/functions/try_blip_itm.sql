-- A picture, the first 2,000 bytes of it, none, and no picture at all. A job over a million files goes on.
SELECT bytes, round(try_blip_itm(substring(image, 1, bytes), 'a sunny day'), 2) AS score
FROM read_once('/data/ONCE', image_bytes => true), VALUES (10000000), (2000), (0), (NULL) AS cut (bytes)
WHERE frame_id = '1616000000000' AND camera = 'cam01'
ORDER BY bytes DESC;

-- A file that is not there.
SELECT try_blip_itm('/data/ONCE/data/000000/cam01/none.jpg', 'a car') AS score;

-- What is no fault of the row's image is raised.
SELECT try_blip_itm(image, repeat('car ', 50000)) FROM once LIMIT 1;

-- A picture, the first 2,000 bytes of it, none, and no picture at all.
SELECT bytes, blip_image_error(substring(image, 1, bytes)) AS error
FROM read_once('/data/ONCE', image_bytes => true), VALUES (10000000), (2000), (0), (NULL) AS cut (bytes)
WHERE frame_id = '1616000000000' AND camera = 'cam01'
ORDER BY bytes DESC;

-- What is wrong with the images of a tree: nothing.
SELECT image, blip_image_error(image) AS error FROM once WHERE blip_image_error(image) IS NOT NULL;

-- By path, too: no such file, and a folder.
SELECT blip_image_error(path) AS error
FROM VALUES ('/data/ONCE/data/000000/cam01/none.jpg'), ('/data/ONCE/data/000000/cam01') AS t (path);

SELECT blip_image_error(42);

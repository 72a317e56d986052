-- A picture, the first 2,000 bytes of it, none, and no picture at all.
SELECT bytes, blip_image_error(substring(image, 1, bytes)) AS error
FROM read_once('/data/ONCE', image_bytes => true), VALUES (1000000), (2000), (0), (NULL) AS cut (bytes)
WHERE frame_id = '1616000000000' AND camera = 'cam01' ORDER BY bytes DESC;
--> +-------+----------------------------------------------------------------------------------------------------------+
--> |bytes  |error                                                                                                     |
--> +-------+----------------------------------------------------------------------------------------------------------+
--> |1000000|NULL                                                                                                      |
--> |2000   |JPEG image of 2,000 bytes, 960 x 510 px, does not decode: image file is truncated (10 bytes not processed)|
--> |0      |expected an image, got 0 bytes                                                                            |
--> |NULL   |NULL                                                                                                      |
--> +-------+----------------------------------------------------------------------------------------------------------+

-- What is wrong with the images of a tree: nothing.
SELECT image, blip_image_error(image) AS error FROM once WHERE blip_image_error(image) IS NOT NULL;
--> +-----+-----+
--> |image|error|
--> +-----+-----+
--> +-----+-----+

-- By path, too: no such file, and a folder.
SELECT blip_image_error(path) AS error
FROM VALUES ('/data/ONCE/data/000000/cam01/none.jpg'), ('/data/ONCE/data/000000/cam01') AS t (path);
--> +------------------------------------------------------------+
--> |error                                                       |
--> +------------------------------------------------------------+
--> |/data/ONCE/data/000000/cam01/none.jpg: no such file         |
--> |/data/ONCE/data/000000/cam01: cannot be read: Is a directory|
--> +------------------------------------------------------------+

SELECT blip_image_error(42);
--> [DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve "blip_image_error(image)" due to data type mismatch: The first parameter requires the ("BINARY" or "STRING") type, however "42" has the type "INT".

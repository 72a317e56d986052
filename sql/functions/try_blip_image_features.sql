-- A picture, the first 2,000 bytes of it, and no picture at all: a job over a million files goes on.
SELECT bytes, length(try_blip_image_features(substring(image, 1, bytes))) AS length
FROM read_once('/data/ONCE', image_bytes => true), VALUES (1000000), (2000), (NULL) AS cut (bytes)
WHERE frame_id = '1616000000000' AND camera = 'cam01' ORDER BY bytes DESC;
--> +-------+------+
--> |bytes  |length|
--> +-------+------+
--> |1000000|46432 |
--> |2000   |NULL  |
--> |NULL   |NULL  |
--> +-------+------+

-- What is no fault of a row is raised.
SELECT try_blip_image_features(42);
--> [DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve "try_blip_image_features(image)" due to data type mismatch: The first parameter requires the ("BINARY" or "STRING") type, however "42" has the type "INT".

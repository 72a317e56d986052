-- A picture, the first 2,000 bytes of it, and no picture at all: a job over a million files goes on.
SELECT bytes,
       transform(try_blip_itm_many(substring(image, 1, bytes), array('a sunny day', NULL)), p -> p > 0.5) AS matches
FROM read_once('/data/ONCE', image_bytes => true), VALUES (1000000), (2000), (NULL) AS cut (bytes)
WHERE frame_id = '1616000000000' AND camera = 'cam01' ORDER BY bytes DESC;
--> +-------+-------------+
--> |bytes  |matches      |
--> +-------+-------------+
--> |1000000|[false, NULL]|
--> |2000   |NULL         |
--> |NULL   |NULL         |
--> +-------+-------------+

-- What is no fault of a row is raised.
SELECT try_blip_itm_many(image, 'a car') FROM once;
--> [DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve "try_blip_itm_many(image, texts)" due to data type mismatch: The second parameter requires the ("ARRAY<STRING>") type, however "'a car'" has the type "STRING".

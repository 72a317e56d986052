-- A picture, the first 2,000 bytes of it, and no picture at all: a job over a million files goes on.
SELECT bytes, round(try_blip_itm_logit(substring(image, 1, bytes), 'a sunny day'), 1) AS logit
FROM read_once('/data/ONCE', image_bytes => true), VALUES (1000000), (2000), (NULL) AS cut (bytes)
WHERE frame_id = '1616000000000' AND camera = 'cam01' ORDER BY bytes DESC;
--> +-------+-----+
--> |bytes  |logit|
--> +-------+-----+
--> |1000000|-4.3 |
--> |2000   |NULL |
--> |NULL   |NULL |
--> +-------+-----+

-- What is no fault of a row is raised.
SELECT try_blip_itm_logit(image, 42) FROM once;
--> [DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve "try_blip_itm_logit(image, text)" due to data type mismatch: The second parameter requires the ("STRING") type, however "42" has the type "INT".

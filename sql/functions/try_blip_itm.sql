-- A picture, the first 2,000 bytes of it, and no picture at all: a job over a million files goes on.
SELECT bytes, round(try_blip_itm(substring(image, 1, bytes), 'a sunny day'), 2) AS score
FROM read_once('/data/ONCE', image_bytes => true), VALUES (1000000), (2000), (NULL) AS cut (bytes)
WHERE frame_id = '1616000000000' AND camera = 'cam01' ORDER BY bytes DESC;
--> +-------+-----+
--> |bytes  |score|
--> +-------+-----+
--> |1000000|0.0  |
--> |2000   |NULL |
--> |NULL   |NULL |
--> +-------+-----+

-- A file that is not there.
SELECT try_blip_itm('/data/ONCE/data/000000/cam01/none.jpg', 'a car') AS score;
--> +-----+
--> |score|
--> +-----+
--> |NULL |
--> +-----+

-- What is no fault of a row is raised.
SELECT try_blip_itm(image) FROM once;
--> [WRONG_NUM_ARGS.WITHOUT_SUGGESTION] The `try_blip_itm` requires 2 parameters but the actual number is 1. Please, refer to 'https://spark.apache.org/docs/latest/sql-ref-functions.html' for a fix.

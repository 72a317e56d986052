-- Folder listings and JSON are read, no image.
SELECT sequence_id, frame_id, camera, weather, period, region, counts
FROM read_once('/data/ONCE')
ORDER BY image LIMIT 3;
--> +-----------+-------------+------+-------+-------+-------+----------------------+
--> |sequence_id|frame_id     |camera|weather|period |region |counts                |
--> +-----------+-------------+------+-------+-------+-------+----------------------+
--> |000000     |1616000000000|cam01 |rainy  |morning|Highway|{Truck -> 1, Bus -> 1}|
--> |000000     |1616000000500|cam01 |rainy  |morning|Highway|{Truck -> 1, Bus -> 1}|
--> |000000     |1616000000000|cam03 |rainy  |morning|Highway|{}                    |
--> +-----------+-------------+------+-------+-------+-------+----------------------+

-- The other columns of one row.
SELECT image, timestamp, split, classes, problem
FROM read_once('/data/ONCE')
WHERE frame_id = '1616000000000' AND camera = 'cam01';
--> +---------------------------------------------------+-------------------+-----+------------+-------+
--> |image                                              |timestamp          |split|classes     |problem|
--> +---------------------------------------------------+-------------------+-----+------------+-------+
--> |file:/data/ONCE/data/000000/cam01/1616000000000.jpg|2021-03-17 16:53:20|train|[Bus, Truck]|NULL   |
--> +---------------------------------------------------+-------------------+-----+------------+-------+

-- Only sequences that ImageSets/val.txt lists; and the files' bytes in place of their paths.
SELECT sequence_id, count(*) AS images, sum(length(image)) = sum(length) AS whole
FROM read_once('/data/ONCE', split => 'val', image_bytes => true)
GROUP BY sequence_id;
--> +-----------+------+-----+
--> |sequence_id|images|whole|
--> +-----------+------+-----+
--> |000001     |4     |true |
--> +-----------+------+-----+

SELECT * FROM read_once('/data/ONCE/data');
--> read_once: root: expected an ONCE tree, data/<sequence>/<camera>/<frame>.jpg, got '/data/ONCE/data', which has no folder data

SELECT * FROM read_once('/data/ONCE', split => 'training');
--> read_once: split: expected one of train, val, test, raw_small, raw_medium, raw_large, got 'training'

-- Folder listings and JSON are read, no image.
SELECT sequence_id, frame_id, camera, weather, period, region, counts
FROM read_once('/data/ONCE')
ORDER BY image LIMIT 3;

-- The other columns of one row.
SELECT image, timestamp, split, classes, problem
FROM read_once('/data/ONCE')
WHERE frame_id = '1616000000000' AND camera = 'cam01';

-- Only sequences that ImageSets/val.txt lists; and the files' bytes in place of their paths.
SELECT sequence_id, count(*) AS images, sum(length(image)) = sum(length) AS whole
FROM read_once('/data/ONCE', split => 'val', image_bytes => true)
GROUP BY sequence_id;

SELECT * FROM read_once('/data/ONCE/data');

SELECT * FROM read_once('/data/ONCE', split => 'training');

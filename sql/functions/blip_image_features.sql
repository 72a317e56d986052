-- 32 bytes say what they are, two bytes for each number follow.
SELECT frame_id, camera, length(features) AS bytes, CAST(substring(features, 1, 8) AS STRING) AS magic
FROM (SELECT *, blip_image_features(image) AS features FROM once WHERE sequence_id = '000000')
ORDER BY frame_id, camera LIMIT 2;
--> +-------------+------+-----+--------+
--> |frame_id     |camera|bytes|magic   |
--> +-------------+------+-----+--------+
--> |1616000000000|cam01 |46432|BLIPFEAT|
--> |1616000000000|cam03 |46432|BLIPFEAT|
--> +-------------+------+-----+--------+

-- In place of the image, in any of the functions: the vision encoder, most of the work, is skipped.
CREATE TABLE once_features AS
SELECT frame_id, camera, image, blip_image_features(image) AS features FROM once WHERE sequence_id = '000000';

SELECT frame_id, camera, abs(blip_itm(features, 'a sunny day') - blip_itm(image, 'a sunny day')) < 0.01 AS same
FROM once_features ORDER BY frame_id, camera;
--> +-------------+------+----+
--> |frame_id     |camera|same|
--> +-------------+------+----+
--> |1616000000000|cam01 |true|
--> |1616000000000|cam03 |true|
--> |1616000000500|cam01 |true|
--> |1616000000500|cam03 |true|
--> +-------------+------+----+

-- In half the bytes: a byte for each number, and a scale for each patch. Features that were stored before are read as
-- before, in the same column too, and are made smaller without their images.
SET spark.blip.features = int8;

SELECT frame_id, camera, length(features) AS bytes, length(small) AS small,
       abs(blip_itm(small, 'a sunny day') - blip_itm(features, 'a sunny day')) < 0.01 AS same
FROM (SELECT *, blip_image_features(features) AS small FROM once_features) ORDER BY frame_id, camera LIMIT 2;
--> +-------------+------+-----+-----+----+
--> |frame_id     |camera|bytes|small|same|
--> +-------------+------+-----+-----+----+
--> |1616000000000|cam01 |46432|23812|true|
--> |1616000000000|cam03 |46432|23812|true|
--> +-------------+------+-----+-----+----+

-- Stored features are checked as images are. try_blip_image_features gives NULL, blip_image_error the reason.
SELECT blip_itm(substring(features, 1, 1000), 'a sunny day') FROM once_features LIMIT 1;
--> ImageError: patch features of 145 x 160: expected 46,432 bytes, got 1,000

SELECT blip_image_features(42);
--> [DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve "blip_image_features(image)" due to data type mismatch: The first parameter requires the ("BINARY" or "STRING") type, however "42" has the type "INT".

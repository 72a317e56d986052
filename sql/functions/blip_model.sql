-- The bundled model's name, and a digest that changes with its files.
SELECT blip_model() AS model;
--> +-----------------+
--> |model            |
--> +-----------------+
--> |demo@30934d5ffeae|
--> +-----------------+

-- Embeddings of different models do not compare: which rows of a table were made by the session's?
SELECT model = blip_model() AS current, count(*) AS images FROM once_embeddings GROUP BY current;
--> +-------+------+
--> |current|images|
--> +-------+------+
--> |true   |32    |
--> +-------+------+

SET spark.blip.model = /models/none;

SELECT blip_model();
--> ModelError: model '/models/none': expected demo, a folder that exists, or a hub id such as organisation/model

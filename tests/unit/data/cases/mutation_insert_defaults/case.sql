WITH "w" AS (
  INSERT INTO "public"."log" AS "t1" ("flow_run_id")
  VALUES (DEFAULT), (DEFAULT)
  RETURNING 1
) SELECT (
  SELECT count(*)
  FROM "w"
)

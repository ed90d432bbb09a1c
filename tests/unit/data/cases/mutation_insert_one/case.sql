WITH "w" AS (
  INSERT INTO "public"."project" AS "t1" ("name", "description")
  VALUES ($1::text, $2::text)
  RETURNING "t1".*
) SELECT (
  SELECT count(*)
  FROM "w"
), (
  SELECT row_to_json(r.*)
  FROM (
    SELECT "t2"."id" AS "id", "t2"."name" AS "name"
    FROM "w" AS "t2"
  ) r
)
-- $1 = "a"
-- $2 = null

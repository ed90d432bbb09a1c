WITH "w" AS (
  INSERT INTO "public"."message" AS "t1" ("text", "content") SELECT ("k"."c1")::varchar, ("k"."c2")::jsonb FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k ("c1", "c2", n)
  ORDER BY k.n
  RETURNING "t1".*
) SELECT (
  SELECT count(*)
  FROM "w"
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t2"."id" AS "id", "t2"."content" #> $3::text[] AS "content"
    FROM "w" AS "t2"
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t3"."text" AS "text"
    FROM "w" AS "t3"
  ) r
)
-- $1 = ["one", null]
-- $2 = ["{\"a\": 1}", "[]"]
-- $3 = ["a"]

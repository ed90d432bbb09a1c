SELECT (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t1"."id" AS "id"
    FROM "public"."flow" AS "t1"
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t2"."id" AS "id"
    FROM "public"."flow" AS "t2"
    WHERE false
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t3"."id" AS "id"
    FROM "public"."flow" AS "t3"
    WHERE true OR "t3"."name" = $1::text
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t4"."id" AS "id"
    FROM "public"."flow" AS "t4"
    WHERE NOT (true)
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t5"."id" AS "id"
    FROM "public"."flow" AS "t5"
    WHERE "t5"."name" = $2::text
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t6"."id" AS "id"
    FROM "public"."flow" AS "t6"
    WHERE (("t6"."name" = $3::text AND "t6"."version" = ($4::text)::int4) OR NOT ("t6"."name" = $5::text OR "t6"."archived" = ($6::text)::bool)) AND "t6"."archived" = ($7::text)::bool
  ) r
)
-- $1 = "x"
-- $2 = "x"
-- $3 = "x"
-- $4 = "1"
-- $5 = "y"
-- $6 = "true"
-- $7 = "false"

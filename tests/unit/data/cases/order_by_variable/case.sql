SELECT (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t1"."id" AS "id"
    FROM "public"."flow" AS "t1"
    ORDER BY "t1"."version" DESC, "t1"."name"
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t2"."id" AS "id"
    FROM "public"."flow_group" AS "t2"
    ORDER BY "t2"."name" DESC
  ) r
)

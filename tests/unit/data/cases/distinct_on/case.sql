SELECT (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT *
    FROM (
      SELECT DISTINCT ON ("t1"."name", "t1"."version") "t1"."id" AS "id"
      FROM "public"."flow" AS "t1"
      ORDER BY "t1"."version" DESC, "t1"."name", "t1"."created"
      LIMIT 16
    ) AS "t1"
    LIMIT ($1::text)::int4
    OFFSET ($2::text)::int4
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t2"."id" AS "id", (
      SELECT row_to_json(r.*)
      FROM (
        SELECT "t3"."name" AS "name"
        FROM "public"."project" AS "t3"
        WHERE "t3"."id" = "t2"."project_id"
      ) r
    ) AS "project"
    FROM (
      SELECT DISTINCT ON ("t2"."version_group_id") "t2".*
      FROM "public"."flow" AS "t2"
    ) AS "t2"
  ) r
)
-- $1 = "10"
-- $2 = "5"

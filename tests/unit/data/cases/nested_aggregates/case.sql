SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."name" AS "name", (
    SELECT row_to_json(r.*)
    FROM (
      SELECT ('{"count":' || "s"."a1" || '}')::json AS "aggregate"
      FROM (
        SELECT count(*) AS "a1"
        FROM "public"."flow" AS "t2"
        WHERE "t2"."project_id" = "t1"."id" AND "t2"."archived" = ($1::text)::bool
      ) s
    ) r
  ) AS "active", (
    SELECT row_to_json(r.*)
    FROM (
      SELECT ('{"count":' || "s"."a1" || '}')::json AS "aggregate"
      FROM (
        SELECT count(*) AS "a1"
        FROM (
          SELECT DISTINCT ON ("t3"."name") "t3".*
          FROM "public"."flow" AS "t3"
          WHERE "t3"."project_id" = "t1"."id"
        ) AS "t3"
      ) s
    ) r
  ) AS "flows_aggregate"
  FROM (
    SELECT "t1".*
    FROM "public"."project" AS "t1"
    ORDER BY "t1"."name"
  ) AS "t1"
) r
-- $1 = "false"

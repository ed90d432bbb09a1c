WITH "t1" AS (
  SELECT "t1".*
  FROM "public"."flow" AS "t1"
  ORDER BY "t1"."name" DESC
) SELECT row_to_json(r.*)
FROM (
  SELECT ('{"count":' || "s"."a1" || '}')::json AS "aggregate", (
    SELECT coalesce(json_agg(r.*), '[]')
    FROM (
      SELECT "t1"."id" AS "id", (
        SELECT row_to_json(r.*)
        FROM (
          SELECT "t2"."name" AS "name"
          FROM "public"."project" AS "t2"
          WHERE "t2"."id" = "t1"."project_id"
        ) r
      ) AS "project", (
        SELECT row_to_json(r.*)
        FROM (
          SELECT ('{"count":' || "s"."a1" || '}')::json AS "aggregate"
          FROM (
            SELECT count(*) AS "a1"
            FROM "public"."task" AS "t3"
            WHERE "t3"."flow_id" = "t1"."id"
          ) s
        ) r
      ) AS "tasks_aggregate"
      FROM "t1"
    ) r
  ) AS "nodes"
  FROM (
    SELECT count(DISTINCT "t1"."name") AS "a1"
    FROM "t1"
  ) s
) r

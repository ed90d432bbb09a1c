SELECT coalesce(json_agg(r.*), '[]')
FROM (
  SELECT "t1"."id" AS "id", (
    SELECT row_to_json(r.*)
    FROM (
      SELECT "t4"."name" AS "name"
      FROM "public"."flow" AS "t4"
      WHERE "t4"."id" = "t1"."flow_id"
    ) r
  ) AS "flow", ('{"aggregate":{"count":' || "t3"."a1" || ',"named":' || "t3"."a2" || '}}')::json AS "all", ('{"aggregate":{"count":' || "t3"."a3" || '}}')::json AS "Success"
  FROM (
    SELECT *
    FROM (
      SELECT "t1".*
      FROM "public"."flow_run" AS "t1"
      ORDER BY "t1"."scheduled_start_time" DESC
      LIMIT 64
    ) AS "t1"
    LIMIT ($1::text)::int4
  ) AS "t1" CROSS JOIN LATERAL (
    SELECT count(*) AS "a1", count("t2"."name") AS "a2", count(*) FILTER (WHERE "t2"."state" = $2::text) AS "a3"
    FROM "public"."task_run" AS "t2"
    WHERE "t2"."flow_run_id" = "t1"."id"
  ) AS "t3"
) r
-- $1 = "50"
-- $2 = "Success"

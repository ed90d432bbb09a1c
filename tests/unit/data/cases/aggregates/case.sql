SELECT row_to_json(r.*)
FROM (
  SELECT (
    SELECT row_to_json(r.*)
    FROM (
      SELECT "s"."a1" AS "count", "s"."a2" AS "named", "s"."a3" AS "names", "s"."a4" AS "pairs", "s"."a1" AS "again", (
        SELECT row_to_json(r.*)
        FROM (
          SELECT "s"."a5" AS "start_time", "s"."a6" AS "name"
        ) r
      ) AS "max", (
        SELECT row_to_json(r.*)
        FROM (
          SELECT "s"."a7" AS "version"
        ) r
      ) AS "sum", (
        SELECT row_to_json(r.*)
        FROM (
          SELECT "s"."a8" AS "version", 'flow_run_avg_fields'::text AS "__typename"
        ) r
      ) AS "average", 'flow_run_aggregate_fields'::text AS "__typename"
    ) r
  ) AS "aggregate", 'flow_run_aggregate'::text AS "__typename"
  FROM (
    SELECT count(*) AS "a1", count("t1"."name") AS "a2", count(DISTINCT "t1"."name") AS "a3", count(("t1"."name", "t1"."state")) AS "a4", max("t1"."start_time") AS "a5", max("t1"."name") AS "a6", sum("t1"."version") AS "a7", avg("t1"."version") AS "a8"
    FROM "public"."flow_run" AS "t1"
    WHERE "t1"."state" = $1::text
  ) s
) r
-- $1 = "Success"

SELECT row_to_json(r.*)
FROM (
  SELECT json_build_object('count'::text, "s"."a1", 'named'::text, "s"."a2", 'names'::text, "s"."a3", 'pairs'::text, "s"."a4", 'again'::text, "s"."a1", 'max'::text, json_build_object('start_time'::text, "s"."a5", 'name'::text, "s"."a6"), 'sum'::text, json_build_object('version'::text, "s"."a7"), 'average'::text, json_build_object('version'::text, "s"."a8", '__typename'::text, 'flow_run_avg_fields'::text), '__typename'::text, 'flow_run_aggregate_fields'::text) AS "aggregate", 'flow_run_aggregate'::text AS "__typename"
  FROM (
    SELECT count(*) AS "a1", count("t1"."name") AS "a2", count(DISTINCT "t1"."name") AS "a3", count(("t1"."name", "t1"."state")) AS "a4", max("t1"."start_time") AS "a5", max("t1"."name") AS "a6", sum("t1"."version") AS "a7", avg("t1"."version") AS "a8"
    FROM "public"."flow_run" AS "t1"
    WHERE "t1"."state" = $1::text
  ) s
) r
-- $1 = "Success"

SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."id" AS "id", "t1"."serialized_state" AS "serialized_state", (
    SELECT row_to_json(r.*)
    FROM (
      SELECT "t2"."name" AS "name", (
        SELECT row_to_json(r.*)
        FROM (
          SELECT "t3"."name" AS "name"
          FROM "public"."project" AS "t3"
          WHERE "t3"."id" = "t2"."project_id"
        ) r
      ) AS "project"
      FROM "public"."flow" AS "t2"
      WHERE "t2"."id" = "t1"."flow_id"
    ) r
  ) AS "flow"
  FROM "public"."flow_run" AS "t1"
  WHERE "t1"."id" = ($1::text)::uuid
) r
-- $1 = "00000000-0000-4000-8000-000000000001"

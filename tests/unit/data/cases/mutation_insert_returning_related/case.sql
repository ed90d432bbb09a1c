INSERT INTO "public"."flow_run_state" AS "t1" ("flow_run_id", "state")
VALUES (($1::text)::uuid, $2::text)
RETURNING ("t1"."id")::text
-- $1 = "00000000-0000-4000-8000-000000000001"
-- $2 = "Running"

SELECT (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t1"."state" AS "state", (
      SELECT row_to_json(r.*)
      FROM (
        SELECT "t2"."state" AS "state"
        FROM "public"."flow_run" AS "t2"
        WHERE "t2"."id" = "t1"."flow_run_id"
      ) r
    ) AS "flow_run"
    FROM (
      SELECT t.* FROM unnest($1::text[]) WITH ORDINALITY AS k ("c1", n) JOIN "public"."flow_run_state" AS t ON "t"."id" = ("k"."c1")::uuid
      ORDER BY k.n
    ) AS "t1"
  ) r
)
-- $1 = @insert_flow_run_state (0,)

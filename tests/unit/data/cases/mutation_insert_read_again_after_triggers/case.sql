INSERT INTO "public"."flow_run" AS "t1" ("flow_id")
VALUES (($1::text)::uuid)
RETURNING ("t1"."id")::text
-- $1 = "00000000-0000-4000-8000-000000000001"

SELECT (
  SELECT row_to_json(r.*)
  FROM (
    SELECT "t1"."id" AS "id", "t1"."state" AS "state"
    FROM (
      SELECT t.* FROM unnest($1::text[]) WITH ORDINALITY AS k ("c1", n) JOIN "public"."flow_run" AS t ON "t"."id" = ("k"."c1")::uuid
      ORDER BY k.n
    ) AS "t1"
  ) r
)
-- $1 = @insert_flow_run_one (0,)

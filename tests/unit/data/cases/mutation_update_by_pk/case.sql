UPDATE "public"."flow" AS "t1" SET "archived" = ($1::text)::bool
WHERE "t1"."id" = ($2::text)::uuid
RETURNING ("t1"."id")::text
-- $1 = "true"
-- $2 = "00000000-0000-4000-8000-000000000001"

SELECT (
  SELECT row_to_json(r.*)
  FROM (
    SELECT "t1"."archived" AS "archived", (
      SELECT row_to_json(r.*)
      FROM (
        SELECT "t2"."name" AS "name"
        FROM "public"."project" AS "t2"
        WHERE "t2"."id" = "t1"."project_id"
      ) r
    ) AS "project"
    FROM (
      SELECT t.* FROM unnest($1::text[]) WITH ORDINALITY AS k ("c1", n) JOIN "public"."flow" AS t ON "t"."id" = ("k"."c1")::uuid
      ORDER BY k.n
    ) AS "t1"
  ) r
)
-- $1 = @update_flow_by_pk (0,)

DELETE
FROM "public"."flow" AS "t1"
WHERE "t1"."id" = ($1::text)::uuid
RETURNING ("t1".*)::text
-- $1 = "00000000-0000-4000-8000-000000000001"

SELECT (
  SELECT row_to_json(r.*)
  FROM (
    SELECT "t1"."name" AS "name", (
      SELECT row_to_json(r.*)
      FROM (
        SELECT "t2"."name" AS "name", (
          SELECT row_to_json(r.*)
          FROM (
            SELECT ('{"count":' || "s"."a1" || '}')::json AS "aggregate"
            FROM (
              SELECT count(*) AS "a1"
              FROM "public"."flow" AS "t3"
              WHERE "t3"."project_id" = "t2"."id"
            ) s
          ) r
        ) AS "flows_aggregate"
        FROM "public"."project" AS "t2"
        WHERE "t2"."id" = "t1"."project_id"
      ) r
    ) AS "project" FROM unnest(($1::text[])::"public"."flow"[]) AS "t1"
  ) r
)
-- $1 = @delete_flow_by_pk (0,)

-- Making a generation of a projection beside the live one, and switching.

-- name: begin
CALL projection.begin_generation(%s, %s)

-- name: lock
SELECT position FROM projection.tracking WHERE name = %s AND live FOR UPDATE

-- name: show
CALL projection.show_generation(%s, %s)

-- name: forget_others
DELETE FROM projection.tracking WHERE name = %s AND generation <> %s

-- name: other_schemas
SELECT nspname FROM pg_namespace WHERE nspname ~ ('^' || %(name)s || '_[0-9]+$') AND nspname <> %(keep)s
ORDER BY nspname

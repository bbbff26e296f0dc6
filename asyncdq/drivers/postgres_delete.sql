-- Forget the dead letters (queue $1, id $2); which those were. They are met as in postgres_done.sql.
delete from {dead} as letter using unnest($1::text[], $2::text[]) as wanted (queue, id)
where letter.queue = any (array[wanted.queue]) and letter.id = wanted.id
    and (letter.queue, letter.id) >= (wanted.queue, wanted.id)
returning letter.id

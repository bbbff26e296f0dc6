-- Make the dead letters (queue $1, id $2) ready, unless their id waits or runs; which those were.
-- Their rows are locked first: whoever moves the same one a moment later finds it gone, not twice. They are met
-- as in postgres_done.sql: asked for in the order of burial, the server reads all letters of the queue for one.
with clock as materialized (
    select clock_timestamp() as now
),
chosen as materialized (
    select letter.* from unnest($1::text[], $2::text[]) as wanted (queue, id)
    join {dead} as letter on letter.queue = any (array[wanted.queue]) and letter.id = wanted.id
        and (letter.queue, letter.id) >= (wanted.queue, wanted.id)
    for update of letter
),
moved as (
    insert into {tasks} (queue, id, visible_at, body)
    select queue, id, clock.now, body from chosen cross join clock
    order by chosen.seq
    on conflict (queue, id) do nothing
    returning queue, id
),
gone as (
    delete from {dead} as letter using moved
    where letter.queue = any (array[moved.queue]) and letter.id = moved.id
        and (letter.queue, letter.id) >= (moved.queue, moved.id)
),
news as (
    select distinct queue, clock.now, clock.now as due from moved cross join clock
)
select (select coalesce(array_agg(id), '{{}}') from moved) as moved, ({announce}) as announced

-- Make the dead letters $2 of queue $1 ready, unless their id waits or runs; which those were.
-- Their rows are locked first: whoever moves the same one a moment later finds it gone, not twice.
with clock as materialized (
    select clock_timestamp() as now
),
chosen as materialized (
    select * from {dead} where queue = $1::text and id = any ($2::text[]) order by seq for update
),
moved as (
    insert into {tasks} (queue, id, visible_at, body)
    select queue, id, clock.now, body from chosen cross join clock
    order by chosen.seq
    on conflict (queue, id) do nothing
    returning queue, id
),
gone as (
    delete from {dead} as letter using moved where letter.queue = moved.queue and letter.id = moved.id
),
news as (
    select distinct queue, clock.now, clock.now as due from moved cross join clock
)
select (select coalesce(array_agg(id), '{{}}') from moved) as moved, ({announce}) as announced

-- Store messages: queue $1, id $2, delay in microseconds $3, body $4. `stored` is null if all were new.
--
-- Arrays: one statement for any number of rows, 127,000 a second in hundreds, and COPY could neither leave out
-- known ids nor say which. A NOTIFY makes commits wait for each other (8 connections: 1,900 inserts a second
-- instead of 7,700), so only that is announced which those who wait do not know: they sleep until the first
-- message of the queue is due, or a moment. The first one is asked for as the statement's snapshot has it,
-- before anything is stored.
with clock as materialized (
    select clock_timestamp() as now
),
stored as (
    insert into {tasks} (queue, id, visible_at, body)
    select queue, id, clock.now + delay * interval '1 microsecond', body
    from clock
    cross join unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[]) with ordinality
        as message (queue, id, delay, body, position)
    order by position
    on conflict (queue, id) do nothing
    returning queue, id
),
news as (
    select queue, clock.now, clock.now + min(delay) * interval '1 microsecond' as due
    from clock
    cross join unnest($1::text[], $3::bigint[]) as message (queue, delay)
    group by queue, clock.now
)
select
    (select case when count(*) < cardinality($1) then coalesce(array_agg(queue || ' ' || id), '{{}}') end from stored)
        as stored,
    ({announce}) as announced

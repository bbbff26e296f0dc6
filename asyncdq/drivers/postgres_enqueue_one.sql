-- Store one message: queue $1, id $2, delay in microseconds $3, body $4; true if it is new. What postgres_enqueue.sql
-- does for arrays takes the server half as long again for one row, and who enqueues one by one waits for that.
with clock as materialized (
    select clock_timestamp() as now
),
stored as (
    insert into {tasks} (queue, id, visible_at, body)
    select $1::text, $2::text, now + $3::bigint * interval '1 microsecond', $4::bytea
    from clock
    on conflict (queue, id) do nothing
    returning true
),
news as (
    select $1::text as queue, now, now + $3::bigint * interval '1 microsecond' as due
    from clock
)
select exists (select from stored) as stored, ({announce}) as announced

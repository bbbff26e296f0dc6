-- Write mixed outcomes of (queue $1, id $2, token $3): kind $4 is 'done', 'back' or 'dead'. Answers like postgres_done.sql.
--
-- back: hide for $5 microseconds (null: to its old place), add $6 to attempt, multiply lost by $7
-- dead: reason $8, error $9, detail $10, attempts $11
-- Rows are met by their keys as in postgres_done.sql.
-- Each part compares the token, in the same statement that writes: there is no moment between fence and effect.
with clock as materialized (
    select clock_timestamp() as now
),
given as materialized (
    select outcome.* from
        set_config('lock_timeout', '500', true) as impatient, -- ms: who holds a row for longer may hold it for ever
        unnest(
            $1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::int[], $7::int[],
            $8::text[], $9::text[], $10::text[], $11::int[]
        ) with ordinality
            as outcome (queue, id, token, kind, pause, counted, kept, reason, error, detail, attempts, position)
),
gone as (
    delete from {tasks} as task using given
    where task.queue = any (array[given.queue]) and task.id = given.id
        and (task.queue, task.id) >= (given.queue, given.id)
        and task.token = given.token and given.kind <> 'back'
    returning given.*, case when given.kind = 'dead' then task.body end as body
),
buried as (
    insert into {dead} (queue, id, body, reason, error, detail, attempts, died_at)
    select queue, id, body, reason, error, detail, attempts, clock.now from gone cross join clock
    where kind = 'dead'
    order by position
    on conflict (queue, id) do update
    set (seq, body, reason, error, detail, attempts, died_at) = (
        excluded.seq, excluded.body, excluded.reason, excluded.error, excluded.detail, excluded.attempts,
        excluded.died_at
    )
),
back as (
    update {tasks} as task
    set visible_at = coalesce(clock.now + given.pause * interval '1 microsecond', task.taken_from),
        taken_from = null,
        token = null,
        attempt = task.attempt + given.counted,
        lost = task.lost * given.kept
    from given, clock
    where task.queue = any (array[given.queue]) and task.id = given.id
        and (task.queue, task.id) >= (given.queue, given.id)
        and task.token = given.token and given.kind = 'back'
    returning given.position, task.queue, task.visible_at
),
news as (
    select queue, clock.now, min(visible_at) as due from back cross join clock group by queue, clock.now
),
ours as (
    select position from gone union all select position from back
)
select
    (select case when count(*) < cardinality($1) then coalesce(array_agg(position), '{{}}') end from ours) as ours,
    ({announce}) as announced

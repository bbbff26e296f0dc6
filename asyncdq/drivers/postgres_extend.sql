-- Let the leases (queue $1, id $2, token $3) end $4 microseconds from now. Answers like postgres_done.sql.
--
-- A row that somebody keeps locked is passed by, so that the leases of all others do not end because of one. It is
-- among those of which the answer does not say that they are ours; postgres_held.sql tells which those are.
with ours as materialized (
    select * from unnest($1::text[], $2::text[], $3::bigint[]) with ordinality as each (queue, id, token, position)
),
free as materialized (
    select task.queue, task.id, ours.position
    from ours, {tasks} as task
    where task.queue = any (array[ours.queue]) and task.id = ours.id
        and (task.queue, task.id) >= (ours.queue, ours.id)
        and task.token = ours.token
    for no key update of task skip locked
),
kept as (
    update {tasks} as task
    set visible_at = clock_timestamp() + $4::bigint * interval '1 microsecond'
    from set_config('synchronous_commit', 'off', true), free
    where task.queue = any (array[free.queue]) and task.id = free.id
        and (task.queue, task.id) >= (free.queue, free.id)
    returning free.position
)
select case when count(*) < cardinality($1) then coalesce(array_agg(position), '{{}}') end from kept

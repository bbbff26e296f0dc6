-- Let the leases (queue $1, id $2, token $3) end $4 microseconds from now. Answers like postgres_done.sql.
with kept as (
    update {tasks} as task
    set visible_at = clock_timestamp() + $4::bigint * interval '1 microsecond'
    from set_config('synchronous_commit', 'off', true),
        unnest($1::text[], $2::text[], $3::bigint[]) with ordinality as ours (queue, id, token, position)
    where task.queue = any (array[ours.queue]) and task.id = ours.id
        and (task.queue, task.id) >= (ours.queue, ours.id)
        and task.token = ours.token
    returning ours.position
)
select case when count(*) < cardinality($1) then coalesce(array_agg(position), '{{}}') end from kept

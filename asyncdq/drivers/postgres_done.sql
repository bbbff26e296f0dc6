-- Forget the messages (queue $1, id $2) whose token is still $3. Null if all were ours, else which: positions from 1.
with gone as (
    delete from {tasks} as task
    using set_config('synchronous_commit', 'off', true),
        unnest($1::text[], $2::text[], $3::bigint[]) with ordinality as ours (queue, id, token, position)
    where task.queue = ours.queue and task.id = ours.id and task.token = ours.token
    returning ours.position
)
select case when count(*) < cardinality($1) then coalesce(array_agg(position), '{{}}') end from gone

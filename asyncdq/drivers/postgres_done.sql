-- Forget the messages (queue $1, id $2) whose token is still $3. Null if all were ours, else which: positions from 1.
--
-- `any (array[...])` and `>=`, wherever rows are met by their keys, say nothing new. They leave the planner nothing
-- but the primary key, key by key: with two plain equations, a plan made when a vacuum has just found the table
-- empty reads a whole index, and is kept when the table has filled.
with gone as (
    delete from {tasks} as task
    using set_config('synchronous_commit', 'off', true) as hasty,
        set_config('lock_timeout', '500', true) as impatient, -- ms: who holds a row for longer may hold it for ever
        unnest($1::text[], $2::text[], $3::bigint[]) with ordinality as ours (queue, id, token, position)
    where task.queue = any (array[ours.queue]) and task.id = ours.id
        and (task.queue, task.id) >= (ours.queue, ours.id)
        and task.token = ours.token
    returning ours.position
)
select case when count(*) < cardinality($1) then coalesce(array_agg(position), '{{}}') end from gone

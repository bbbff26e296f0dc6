-- The positions, from 1, of those leases (queue $1, id $2, token $3) that are ours. Waits for nobody.
-- One that has ended is not: its row may be locked by who is claiming it at this moment.
select coalesce(array_agg(ours.position), '{{}}')
from unnest($1::text[], $2::text[], $3::bigint[]) with ordinality as ours (queue, id, token, position), {tasks} as task
where task.queue = any (array[ours.queue]) and task.id = ours.id
    and (task.queue, task.id) >= (ours.queue, ours.id)
    and task.token = ours.token
    and task.visible_at > clock_timestamp()

-- Lease up to $3 messages of the queues $1, at most $2[n] of queue n, earlier queues first. $4: microseconds, $5: token.
-- $6[n]: nothing of queue n that was visible before this time, or null; why is said in postgres_floor.py.
--
-- One lateral probe per queue: `queue = any(...) order by` sorts the whole backlog (17 ms instead of 0.4).
-- The rows come in the order of the queues, so the outer limit stops before a later queue is even looked at,
-- and only what is returned gets locked. `visible_at <= now()` is a condition of the index; with
-- clock_timestamp() it would be a filter over everything delayed. What is written uses clock_timestamp().
-- The rows are then met by their place in the file: whatever the planner believes about their number, it
-- cannot turn that into a scan of the table.
-- A claim, like what is Done and an extension, may be forgotten by a server that crashes within a second:
-- the message is then delivered again. So its commit does not wait for the disk.
with chosen as materialized (
    select ready.place
    from set_config('synchronous_commit', 'off', true)
    cross join unnest($1::text[], $2::int[], $6::timestamptz[]) with ordinality as wanted (queue, most, floor, position)
    cross join lateral (
        select ctid as place from {tasks} as task
        where task.queue = wanted.queue
            and task.visible_at between least(coalesce(wanted.floor, '-infinity'), now() - interval '1 second') and now()
        order by task.visible_at, task.seq
        limit wanted.most
        for update skip locked
    ) as ready
    limit $3::bigint
)
update {tasks}
set visible_at = clock_timestamp() + $4::bigint * interval '1 microsecond',
    taken_from = visible_at,
    token = $5::bigint,
    lost = lost + (token is not null)::int
where ctid = any (array(select place from chosen))
returning queue, taken_from, seq, id, body, attempt, lost

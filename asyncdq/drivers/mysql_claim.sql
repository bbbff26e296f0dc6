-- Lease up to {most} ready messages of the queue {queue}: with @token, until @until. @now: microseconds.
--
-- The derived table probes the index of one queue and locks only what it returns; `skip locked` passes by what
-- others are claiming. The join then meets each row by its primary key: both orders are forced, since the planner
-- of an almost empty table would rather scan it, and wait for every lock in it.
-- In one trip with `select` and `commit`, so that no client that freezes holds locks (25,000 claims a second by 100;
-- two trips: 20,000; `update .. order by .. limit` without skipping locks: deadlocks, also of innocent inserts).
update (
    select seq, visible_at, lost + (token is not null) as lost from {tasks} force index (ready)
    where queue = {queue} and visible_at <= @now
    order by visible_at, seq
    limit {most}
    for update skip locked
) as chosen
straight_join {tasks} as task force index (primary) on task.seq = chosen.seq
set task.visible_at = @until, task.taken_from = chosen.visible_at, task.token = @token, task.lost = chosen.lost

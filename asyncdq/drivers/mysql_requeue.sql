-- Make the dead letters {ids} of queue {queue} ready, unless their id waits or runs; the last but one answer: which.
-- What is moved carries a {mark} of its own, by which the other two statements know it. Until the commit nobody else
-- sees it, and the next claim writes over it.
start transaction;
select id from {dead} where queue = {queue} and id in ({ids}) for update;
insert into {tasks} (queue, id, visible_at, taken_from, body)
    select queue, id, {now}, {mark}, body from {dead} where queue = {queue} and id in ({ids}) order by seq
    on duplicate key update taken_from = taken_from;
delete letter from {dead} as letter
    join {tasks} as task on task.queue = letter.queue and task.id = letter.id
    where letter.queue = {queue} and letter.id in ({ids}) and task.taken_from = {mark};
select id from {tasks} where queue = {queue} and id in ({ids}) and taken_from = {mark};
commit

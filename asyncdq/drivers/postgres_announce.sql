select count(pg_notify('{channel}', news.queue)) from news
where news.due < news.now + interval '{longest_sleep} seconds'
    and (
        select true from {tasks} as task
        where task.queue = news.queue and task.visible_at <= greatest(news.due, news.now)
        order by visible_at desc, seq desc limit 1
    ) is null

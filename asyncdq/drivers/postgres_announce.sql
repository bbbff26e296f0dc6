select count(pg_notify('{channel}', news.queue)) from news
where news.due < news.now + interval '1 second'
    and greatest(news.due, news.now) < coalesce(
        (select visible_at from {tasks} as task where task.queue = news.queue order by visible_at, seq limit 1),
        'infinity'
    )

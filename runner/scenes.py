"""The scenes of the site: which example is performed, and by which requests."""

from dataclasses import replace
from typing import Any

from recording.model import Act, Request, Scene

_TASK = Request("POST", "/task")
_ORDER = Request("POST", "/orders")
_MULTI_TASK = Request("POST", "/multi-task")

_THUMBNAIL = Request("POST", "/thumbnail")

_LATER_THUMBNAIL = replace(_THUMBNAIL, after="make_thumbnail: started", delay=0.5)
_FOUR_THUMBNAILS = [_THUMBNAIL, _LATER_THUMBNAIL, _THUMBNAIL, _THUMBNAIL]

_NO_DATABASE = "the database library is not loaded there"
_NO_CONNECTION = "there is no connection that could be slow"

_READ = Request("GET", "/answer")
_LEFT = replace(_READ, reads="Tea is ", leaves=True)
_NO_READER = "there is no connection to close"

_LIMIT = ("--timeout-graceful-shutdown", "1")
_WORKER_1 = Act("start", "worker 1", after="PUT /orders/1")
"""After the answer: a job that is quicker than the commit would be tried again."""


def _through_rabbitmq(name: str, *steps: Request | Act, **more: Any) -> Scene:
    """The app of Taskiq, whose worker, once there is one, is one process."""
    return Scene(
        "many_machines/app",
        steps,
        name=name,
        processes=("app",),
        options=("--workers", "1"),
        **more,
    )


def _worker_killed(folder: str, **env: str) -> Scene:
    """A worker of a queue is killed in the middle of a job, and another one started."""
    return Scene(
        f"{folder}/receipts",
        (
            Request("POST", "/orders/1/slow"),
            Act("SIGKILL", "worker 1", after="order 1 started", delay=0.3),
            Act("start", "worker 2"),
        ),
        name=f"{folder}/worker_killed",
        processes=("app", "worker 1"),
        options=_ONE_JOB.get(folder, ()),
        env=tuple(env.items()),
        until="order 1 done",
    )


def _jobs_table(
    name: str,
    *steps: Request | Act,
    process: str = "app",
    until: str = "order 1 done",
) -> Scene:
    """The jobs table in SQLite with a lease of two seconds, in one app to begin with."""
    return Scene(
        "durable_on_one_machine/jobs_table",
        steps,
        name=f"durable_on_one_machine/{name}",
        processes=(process,),
        env=(("LEASE", "2"),),
        jobs=("send_receipt",),
        until=until,
    )


def _with_defaults(folder: str, *, module: str = "", **env: str) -> Scene:
    """The same without the settings of the page; a second job shows that the worker works."""
    with_settings = _worker_killed(folder, **env)
    return replace(
        with_settings,
        steps=(*with_settings.steps, Request("POST", "/orders/2/tea")),
        name=f"{with_settings.name}_default",
        module=module,
        until="order 2 done",
    )


def _worker_stopped(name: str, *more: Act, **env: str) -> Scene:
    """A worker of Celery is told to stop while it does a job of three seconds."""
    return Scene(
        "celery_limits_and_stops/stops",
        (
            Request("POST", "/reports/2026"),
            Act("SIGTERM", "worker 1", after="2026, page 5"),
            *more,
        ),
        name=f"celery_limits_and_stops/{name}",
        processes=("app", "worker 1"),
        options=_ONE_JOB["celery"],
        env=tuple(env.items()),
        until="2026 done",
    )


def _delayed(queue: str, name: str, *options: str, until: str) -> Scene:
    """A job that is due in three seconds, and then one that is due sooner."""
    return Scene(
        f"delayed_jobs/with_{queue}",
        (
            Request("POST", "/orders/1/reminders?seconds=3"),
            Request("POST", "/orders/2/reminders?seconds=1", after="POST /orders/1"),
        ),
        name=f"delayed_jobs/{name}",
        processes=("app", "worker 1"),
        options=options,
        until=f"remind: {until}",
    )


def _stopped(
    signal: str, kind: str, *options: str, name: str = "", **more: Any
) -> Scene:
    """The app is told to stop while something works for two seconds."""
    name = name or f"{signal.lower()}_{kind.replace('-', '_')}"
    return Scene(
        "restarts/what_is_left",
        (
            Request("POST", f"/{kind}/3"),
            Act(signal, "app", after="work: started", delay=0.5),
        ),
        name=f"restarts/{name}",
        processes=("app",),
        app_options=options,
        jobs=("work_in_a_thread", "work_on_the_loop"),
        **more,
    )


_ONE_JOB = {
    "celery": ("--concurrency", "1"),
    "dramatiq": ("--processes", "1", "--threads", "1"),
}
_ALL = [
    Scene("background_tasks/first_task", (_TASK,)),
    Scene(
        "background_tasks/with_arguments",
        (Request("POST", "/task", {"email": "ada@example.com", "item": "tea"}),),
    ),
    Scene("background_tasks/def_or_async", (_TASK,)),
    Scene(
        "background_tasks/after_the_response",
        (Request("GET", "/export", pause=0.5),),
        not_in_browser=_NO_CONNECTION,
    ),
    Scene("multiple_tasks/in_order", (_MULTI_TASK,)),
    Scene(
        "multiple_tasks/in_order",
        (
            _MULTI_TASK,
            Request(
                "POST", "/multi-task", after="send_welcome_email: started", delay=0.25
            ),
        ),
        name="multiple_tasks/two_clients",
    ),
    Scene("multiple_tasks/at_the_same_time", (_MULTI_TASK,)),
    Scene("multiple_tasks/first_failure", (_MULTI_TASK,)),
    Scene("multiple_tasks/each_on_its_own", (_MULTI_TASK,)),
    Scene(
        "conclusion/heavy_computation",
        (
            Request("POST", "/forecast"),
            *[Request("GET", "/ping", after="compute_forecast: started")] * 3,
        ),
        not_in_browser="there are no threads that could take turns",
    ),
    Scene(
        "def_or_async/blocking_call",
        (
            Request("POST", "/report"),
            Request("GET", "/ping", after="build_report: started"),
        ),
    ),
    Scene(
        "def_or_async/blocking_call",
        (
            Request("POST", "/report-in-thread"),
            Request("GET", "/ping", after="build_report_in_thread: started"),
        ),
        name="def_or_async/in_a_thread",
    ),
    Scene(
        "thread_pool/shared_threads",
        (
            *_FOUR_THUMBNAILS,
            Request("GET", "/def", after="make_thumbnail: started", nth=4),
            Request("GET", "/async-def"),
        ),
    ),
    Scene(
        "thread_pool/files_need_threads",
        (
            *_FOUR_THUMBNAILS,
            Request("GET", "/prices", after="make_thumbnail: started", nth=4),
        ),
        not_in_browser="python-multipart is not loaded there",
    ),
    Scene(
        "thread_pool/def_generator",
        (
            Request("GET", "/blocking-client"),
            Request("GET", "/def", after="word 0 is asked for"),
        ),
        not_in_browser=_NO_READER,
    ),
    Scene(
        "thread_pool/own_limiter",
        (
            Request("POST", "/thumbnails/1"),
            Request("POST", "/thumbnails/2", after="thumbnail 1: started", delay=0.4),
            Request("POST", "/thumbnails/3", after="thumbnail 2: started"),
            Request("GET", "/def", after="POST /thumbnails/3"),
        ),
    ),
    Scene("thread_pool/two_pools", (_TASK,), not_in_browser="it has neither pool"),
    Scene(
        "def_or_async/never_awaited",
        (Request("POST", "/mails"),),
        warns="was never awaited",
    ),
    Scene(
        "def_or_async/back_to_the_loop",
        (_THUMBNAIL,),
        not_in_browser="nothing runs outside the event loop's thread",
    ),
    Scene(
        "def_or_async/time_limit",
        (_TASK,),
        not_in_browser="an imitated thread cannot be left running",
        until="build_report: done",
    ),
    Scene(
        "when_it_runs/behind_a_middleware",
        (Request("GET", "/export", pause=0.5),),
        not_in_browser=_NO_CONNECTION,
    ),
    Scene(
        "when_it_runs/stalled_download",
        (Request("GET", "/export"),),
        not_in_browser=_NO_CONNECTION,
    ),
    Scene("when_it_runs/after_the_last_chunk", (Request("GET", "/export"),)),
    Scene("when_it_runs/after_the_last_event", (Request("GET", "/answer"),)),
    Scene("when_it_runs/two_middlewares", (_TASK,)),
    Scene("when_it_runs/task_of_a_middleware", (_TASK,)),
    Scene(
        "when_it_runs/client_gone",
        (Request("GET", "/export", pause=0.5, leaves=True),),
        not_in_browser="there is no connection to close",
    ),
    Scene("when_it_runs/a_task_adds_a_task", (_ORDER,)),
    Scene(
        "when_a_task_fails/broken_connection",
        (
            _ORDER,
            Request("GET", "/report", after="POST /orders", same_connection=True),
        ),
        not_in_browser="there is no connection that could break",
    ),
    Scene(
        "when_a_task_fails/broken_connection",
        (_ORDER, Request("GET", "/report", after="POST /orders")),
        name="when_a_task_fails/two_connections",
        not_in_browser="there is no connection that could break",
    ),
    Scene("when_a_task_fails/handler_for_all", (_ORDER,)),
    Scene("when_a_task_fails/never_raises", (_ORDER,)),
    Scene(
        "when_a_task_fails/retries",
        (_ORDER,),
        not_in_browser="the library is not loaded there",
    ),
    Scene(
        "why_it_never_ran/raised_after",
        (
            Request("GET", "/raised/tea"),
            Request("GET", "/returned/tea", delay=0.1),
        ),
    ),
    Scene("why_it_never_ran/work_on_error", (Request("POST", "/orders/tea"),)),
    Scene("why_it_never_ran/own_response", (Request("POST", "/replaced"),)),
    Scene("why_it_never_ran/after_yield", (_ORDER,)),
    Scene("uploads_and_requests/merged", (_ORDER,)),
    Scene(
        "uploads_and_requests/body_in_a_middleware",
        (Request("POST", "/orders", "tea"),),
    ),
    Scene("sessions_and_dependencies/when_it_ends", (_ORDER,)),
    Scene("sessions_and_dependencies/scope_function", (_ORDER,)),
    Scene(
        "sessions_and_dependencies/row_not_found",
        (_ORDER,),
        not_in_browser=_NO_DATABASE,
    ),
    Scene(
        "sessions_and_dependencies/row_found", (_ORDER,), not_in_browser=_NO_DATABASE
    ),
    Scene(
        "sessions_and_dependencies/pool_exhausted",
        (
            _ORDER,
            replace(_ORDER, after="send_receipt: started", delay=0.1),
            replace(_ORDER, after="send_receipt: started", nth=2, delay=0.1),
        ),
        not_in_browser=_NO_DATABASE,
    ),
    Scene(
        "sessions_and_dependencies/pool_deadlock",
        (_ORDER, replace(_ORDER, after="POST /orders", delay=0.3)),
        not_in_browser=_NO_DATABASE,
    ),
    Scene(
        "uploads_and_requests/one_at_a_time",
        (
            Request("POST", "/labels"),
            Request("POST", "/labels", after="print_label: started"),
        ),
    ),
    Scene(
        "context_and_logs/request_id",
        (_ORDER, replace(_ORDER, after="create_order: done", delay=0.1)),
        not_in_browser="what is logged is not shown there",
    ),
    Scene(
        "context_and_logs/spans", (_ORDER,), not_in_browser="OpenTelemetry is missing"
    ),
    Scene(
        "database_errors/locked",
        (
            Request("POST", "/inside"),
            Request("POST", "/notes", after="work_inside: has written"),
            Request("POST", "/notes", after="work_inside: done"),
        ),
        processes=("app",),
        jobs=("work_inside",),
        until="work_inside: done",
    ),
    Scene("progress_and_results/in_memory", (Request("POST", "/reports/2026"),)),
    Scene("progress_and_results/moving_bar", (Request("POST", "/reports/2026"),)),
    Scene("at_the_same_time/all_results", (Request("GET", "/trips/paris"),)),
    Scene("at_the_same_time/a_few_at_a_time", (Request("POST", "/newsletters/6"),)),
    Scene(
        "at_the_same_time/one_fails",
        (Request("POST", "/all-or-nothing"),),
        name="at_the_same_time/all_or_nothing",
    ),
    Scene(
        "at_the_same_time/one_fails",
        (Request("POST", "/each-on-its-own"),),
        name="at_the_same_time/each_on_its_own",
    ),
    Scene(
        "at_the_same_time/bounded_queue",
        tuple(Request("POST", "/reports/5", delay=0.1) for _ in range(4)),
    ),
    Scene(
        "processes_and_programs/time_limit",
        (
            Request("POST", "/def/60"),
            Request("GET", "/ping", after="transcode: started", delay=0.3),
        ),
        not_in_browser="it can start no programs",
    ),
    Scene(
        "processes_and_programs/model",
        (
            Request("POST", "/in-c/800"),
            *[Request("GET", "/ping", after="predict: started", delay=0.5)] * 3,
        ),
        not_in_browser="there is one thread, and no lock to let go of",
    ),
    Scene(
        "heavy_work/three_ways",
        (
            Request("POST", "/process-pool"),
            *[Request("GET", "/ping", after="compute_forecast: started")] * 3,
        ),
        name="heavy_work/in_a_process",
        not_in_browser="there is no other process",
    ),
    Scene(
        "recipes/report_download",
        (
            Request("POST", "/reports/2026"),
            Request("POST", "/reports/2027", after="POST /reports/2026"),
        ),
        not_in_browser="there is no other process",
        until="build_in_a_process: 2027 done",
    ),
    Scene(
        "recipes/forgot_password",
        (
            Request("POST", "/forgotten-passwords", {"email": "ada@example.com"}),
            Request(
                "POST",
                "/forgotten-passwords",
                {"email": "eve@example.com"},
                after="mail_link: started",
                delay=0.1,
            ),
        ),
        not_in_browser=_NO_DATABASE,
    ),
    Scene(
        "after_the_stream/saved_shielded",
        (_READ, replace(_LEFT, after="save_answer")),
        not_in_browser=_NO_READER,
    ),
    Scene("after_the_stream/lost_in_finally", (_LEFT,), not_in_browser=_NO_READER),
    Scene(
        "after_the_stream/stop_paying", (_LEFT,), not_in_browser="there is no network"
    ),
    Scene(
        "after_the_stream/client_gone",
        (Request("POST", "/answers", gives_up=0.8),),
        not_in_browser=_NO_READER,
    ),
    Scene(
        "serverless/answers_first",
        (
            Request("POST", "/exports"),
            Request("GET", "/ping", after="export_pages: page 1", frozen=2),
        ),
        not_in_browser="there is no process to stop",
    ),
    Scene(
        "event_loop_errors/two_loops",
        (
            Request("POST", "/new-loop"),
            Request("POST", "/new-loop", after="deliver: 200"),
            Request("POST", "/servers-loop", after="Event loop is closed"),
        ),
        not_in_browser="there is no network",
        until="deliver: 200",
        nth=2,  # or the server that it calls has been stopped
        warns="unclosed (transport|<socket)",  # when what the first loop left is collected
    ),
    Scene(
        "loops_in_the_app/refresh",
        (Request("GET", "/rounds", after="round 1: done"),),
        until="round 3: done",
    ),
    Scene(
        "loops_in_the_app/watched",
        (
            Request("GET", "/health", after="round 2: started"),
            Request("GET", "/health", after="round 2: started", delay=1.5),
        ),
    ),
    Scene(
        "what_is_waiting/jobs_table",
        (
            Request("POST", "/orders?item=refused"),
            Request("POST", "/orders?item=tea", after="refused: started"),
            Request("POST", "/orders?item=cake", after="item=tea"),
            Request("GET", "/jobs", after="send_receipt tea: started"),
        ),
        not_in_browser=_NO_DATABASE,
        until="send_receipt cake: done",
    ),
    Scene(
        "in_ten_minutes/in_memory",
        (
            Request("PUT", "/orders/1/reminder?seconds=1"),
            Request("PUT", "/orders/2/reminder?seconds=1.5"),
            Request("DELETE", "/orders/2/reminder", delay=0.5),
        ),
        until="remind: order 1 done",
    ),
    Scene(
        "listen_and_notify/mails",
        (
            Request("POST", "/orders/1/mail", after="listen: ready"),
            Request("POST", "/orders/2/mail", after="order 1 started", delay=0.2),
            Request("POST", "/orders/3/mail", after="order 2 done", delay=0.5),
        ),
        not_in_browser=_NO_DATABASE,
        until="order 3 done",
    ),
    Scene(
        "not_twice_not_too_often/rate_limit",
        (
            Request("POST", "/rates/1"),
            Request("POST", "/rates/2", after="POST /rates/1"),
            Request("POST", "/rates/3", after="POST /rates/2"),
            Request("POST", "/rates/4", after="POST /rates/3"),
        ),
        not_in_browser="there is one process only",
    ),
    Scene(
        "not_twice_not_too_often/only_waiting",
        (
            Request("POST", "/process/reports/1984"),
            Request("POST", "/process/reports/2026", after="1984 given up"),
        ),
        not_in_browser="there is no other process",
        until="build_report: 1984 done",
    ),
    _through_rabbitmq(
        "many_machines/way_of_a_job",
        Request("PUT", "/orders/1", {"item": "slow"}),
        _WORKER_1,
        until="order 1 done",
    ),
    _through_rabbitmq(
        "many_machines/worker_killed",
        Request("PUT", "/orders/1", {"item": "slow"}),
        _WORKER_1,
        Act("SIGKILL", "worker 1", after="order 1 started", delay=1),
        Act("start", "worker 2"),
        until="order 1 done",
    ),
    _through_rabbitmq(
        "many_machines/broker_killed",
        Request("PUT", "/orders/1", {"item": "tea"}),
        Act("SIGKILL", "RabbitMQ", after="PUT /orders/1"),
        Request("PUT", "/orders/2", {"item": "tea"}, delay=0.5),
        Act("start", "RabbitMQ", after="PUT /orders/2"),
        Act("start", "worker 1"),
        until="order 1 done",
    ),
    _through_rabbitmq(
        "many_machines/refused",
        Request("PUT", "/orders/1", {"item": "refused"}),
        _WORKER_1,
        until="order 1 started",
        nth=3,
    ),
    _through_rabbitmq(
        "many_machines/deadly",
        Request("PUT", "/orders/1", {"item": "deadly"}),
        _WORKER_1,
        Request("PUT", "/orders/2", {"item": "slow"}, after="worker-0 is dead"),
        until="order 2 done",
        varies=("send_receipt(2)",),
    ),
    Scene(
        "many_machines/app",
        (Request("PUT", "/orders/1", {"item": "slow"}),),
        name="taskiq_in_production/consumer_timeout",
        processes=("app", "worker 1", "worker 2"),
        service=(("consumer_timeout", 1000), ("channel_tick_interval", 500)),
        options=("--workers", "1"),
        until="order 1 has its receipt",
        varies=("send_receipt(1)",),
    ),
    _through_rabbitmq(
        "taskiq_in_production/network_cut",
        Request("PUT", "/orders/1", {"item": "slow"}),
        _WORKER_1,
        Act(
            "cut",
            "worker 1",
            after="order 1 started",
            until="worker 2: send_receipt: order 1",
        ),
        Act("start", "worker 2"),
        env=(("RABBITMQ", "{RABBITMQ}?heartbeat=1"),),
        until="worker 2: send_receipt: order 1",
    ),
    _worker_killed("celery", LONGEST_JOB="5"),
    _with_defaults("celery", module="bench.celery_defaults"),
    Scene(
        "celery_first_hour/orders",
        (
            Request("POST", "/orders/tea"),
            Act("start", "worker 1", after="POST /orders"),
        ),
        name="celery_first_hour/way_of_a_job",
        processes=("app",),
        options=_ONE_JOB["celery"],
        until="send_receipt: tea done",
    ),
    Scene(
        "celery_limits_and_stops/time_limits",
        (
            Request("POST", "/reports/2026"),
            Request("POST", "/labels/2026", after="takes too long"),
        ),
        name="celery_limits_and_stops/time_limits",
        processes=("app", "worker 1"),
        options=_ONE_JOB["celery"],
        until="Hard time limit",
    ),
    _worker_stopped("warm"),
    _worker_stopped(
        "soft",
        Act("start", "worker 2"),
        REMAP_SIGTERM="SIGQUIT",
        SOFT_SHUTDOWN="1",
    ),
    _worker_killed("arq", LONGEST_JOB="5"),
    _with_defaults("arq"),
    _worker_killed("dramatiq"),
    _worker_killed("rq"),
    _with_defaults("rq", RETRIES="0"),
    _worker_killed("with_postgresql", DEAD_AFTER="3", RESCUE="* * * * * */2"),
    _with_defaults("with_postgresql", RESCUE="0 0 1 1 *"),
    Scene(
        "with_postgresql/receipts",
        (
            Request("POST", "/orders/1/tea"),
            Request("POST", "/orders/2/slow", after="POST /orders/1"),
        ),
        name="with_postgresql/one_transaction",
        processes=("app", "worker 1"),
        sql="""
            create function check_at_commit() returns trigger language plpgsql as $$ begin
                perform pg_sleep(0.7);
                if new.id = 1 then raise unique_violation; end if;
                return null;
            end $$;
            create constraint trigger check_at_commit after insert on orders
            deferrable initially deferred for each row execute function check_at_commit()
        """,
        until="order 2 done",
    ),
    _delayed("taskiq", "behind_a_long_one", "--workers", "1", until="order 2"),
    _delayed("arq", "each_in_time", until="order 1"),
    _jobs_table(
        "killed",
        Request("POST", "/orders/1/slow"),
        Act("SIGKILL", "app", after="order 1 started", delay=0.3),
        Act("start", "app"),
    ),
    _jobs_table(
        "no_answer",
        Act("Ctrl-S", "app"),  # its access log is written before its answer
        Request("POST", "/orders/1/slow"),
        Act("SIGKILL", "app", after="send_receipt.* begins", delay=0.4),
        Act("start", "app"),
        Request("POST", "/orders/1/slow"),
    ),
    _jobs_table(
        "too_late",
        Request("POST", "/orders/1/slow"),
        Act(
            "freeze",
            "app 1",
            after="order 1 started",
            until="app 2: .*order 1 done",
            lasts=0.5,
        ),
        Act("start", "app 2"),
        process="app 1",
        until="app 1: .*order 1 done",
    ),
    Scene(
        "what_is_lost/background_tasks",
        (
            Request("POST", "/orders/1/slow"),
            Act("SIGKILL", "app", after="order 1 started", delay=1),
            Act("start", "app"),
            Request("POST", "/orders/2/tea"),
        ),
        name="what_is_lost/killed",
        processes=("app",),
        jobs=("send_receipt",),
        until="order 2 done",
    ),
    _stopped("SIGTERM", "def"),
    _stopped("SIGTERM", "create-task"),
    _stopped("SIGINT", "create-task"),
    _stopped("SIGTERM", "def", *_LIMIT, name="limit_def"),
    _stopped("SIGTERM", "async-def", *_LIMIT, name="limit_async_def"),
    Scene(
        "schedules/nightly",
        (Request("GET", "/next-digest"),),
        name="schedules/two_workers",
        processes=("app 1", "app 2"),
        jobs=("refresh_prices",),
        varies=("refresh_prices()",),
        until="app 2: refresh_prices",
        nth=3,
    ),
    Scene(
        "schedules/nightly",
        (
            Request("GET", "/next-digest"),
            Act("SIGKILL", "app", after="refresh_prices: ", nth=4, delay=0.2),
            Act("start", "app", delay=1.5),
        ),
        name="schedules/missed",
        processes=("app",),
        jobs=("refresh_prices",),
        varies=("refresh_prices()",),
        until="refresh_prices: ",
        nth=8,
    ),
    Scene(
        "schedules/leader",
        (
            Request("GET", "/ping"),
            Act("start", "app 2"),
            Act("SIGKILL", "app 1", delay=1.2),
        ),
        name="schedules/leader_killed",
        processes=("app 1",),
        jobs=("refresh_prices",),
        varies=("refresh_prices()",),
        until="app 2: refresh_prices",
        nth=3,
    ),
    Scene(
        "heavy_work/robust_pool",
        (
            Request("POST", "/forecasts/1984"),
            Request("POST", "/forecasts/2026", after="1984 lost"),
        ),
        name="heavy_work/killed_process",
        processes=("app",),
        jobs=("compute_forecast", "publish_forecast"),
        until="publish_forecast: .* for 2026",
    ),
    Scene(
        "recipes/csv_import",
        (
            Request(
                "POST",
                "/imports",
                upload="sku,name,cents\na1,Tea,350\na2,Milk,cheap\n",
            ),
        ),
        not_in_browser="a request has no file there",
    ),
    Scene(
        "recipes/webhook",
        (Request("POST", "/orders", {"item": "tea", "count": 2}),),
        name="recipes/receiver_down",
        processes=("app",),
        env=(("WEBHOOK_URL", "http://127.0.0.1:9/"),),  # nobody listens there
        jobs=("tell",),
        until="given up",
    ),
    Scene(
        "recipes/webhook_outbox",
        (
            Request("POST", "/orders/tea"),
            Act("start", "receiver", after="ConnectError", nth=2),
        ),
        name="recipes/receiver_back",
        processes=("app",),
        others=(("receiver", "background_tasks/first_task"),),
        env=(("RECEIVERS", "{receiver}/task"), ("WAITS", "0" + 60 * " 1")),
        jobs=("deliver", "send_receipt"),
        varies=("deliver()",),
        until="send_receipt: done",
    ),
    Scene(
        "recipes/receive_webhooks",
        (
            Act("Ctrl-S", "receiver"),  # its access log is written before its answer
            Request("POST", "/orders", {"item": "tea", "count": 2}),
            Act("SIGKILL", "receiver", after="keep.* begins", delay=0.4),
            Act("start", "receiver"),
        ),
        processes=("sender", "receiver"),
        others=(("sender", "recipes/webhook"),),
        env=(("WEBHOOK_URL", "{receiver}/webhooks"),),
        jobs=("tell", "keep", "handle"),
        until="tell: .* delivered",
    ),
    Scene(
        "recipes/welcome_mail",
        (Request("POST", "/users", {"email": "ada@example.com", "name": "Ada"}),),
        name="recipes/no_mail_server",
        processes=("app",),
        env=(("SMTP_PORT", "9"),),  # nobody listens there
        jobs=("welcome",),
        until="no mail to",
    ),
]

SCENES = {scene.name or scene.example: scene for scene in _ALL}
"""All scenes by name."""

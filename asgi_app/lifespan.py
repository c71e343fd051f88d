"""The lifespan of an application: open what its handlers need, serve, and close it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette

from asgi_app.catalog import Catalog
from asgi_app.db import Database
from asgi_app.driver.session import SessionSource
from asgi_app.http.auth import ApiKeys, Authorize
from asgi_app.http.context import started
from asgi_app.http.routing import SegmentRouter, first_segments, others, resource_names, serving
from asgi_app.resources.live import Resources
from asgi_app.resources.query import Query
from asgi_app.resources.start_checks import report_refused, report_unknown_scopes
from asgi_app.resources.table.served import ServedResource
from asgi_app.routes import EXAMPLES, RESERVED, own_scopes
from asgi_app.runtime.drain import DRAIN, Drain, end_this_process
from asgi_app.runtime.gc_tuning import rare_collections
from asgi_app.runtime.ownership import Claim
from asgi_app.runtime.tasks import background_tasks, in_own_task
from asgi_app.settings import Problem, Settings, SettingsError, check_metrics_directory
from asgi_app.tables.builtin import RESOURCES, TABLES
from asgi_app.tables.live_table import LiveTable
from asgi_app.tables.live_wanted import Wanted
from asgi_app.tables.resource import Resource


@dataclass(frozen=True)
class Plan:
    """What an application is to serve, and how: the arguments of `create_app`, which describes them."""

    settings: Settings | None
    session: SessionSource
    diagnostics: bool
    authorize: Authorize | None
    resources: Sequence[Resource | LiveTable]
    queries: Sequence[Query]
    examples: bool | None
    """Whether the built-in tables are served. None leaves it to the settings."""
    owns_process: bool

    @property
    def declared(self) -> list[Resource]:
        """The resources that are declared in Python."""
        return [each for each in self.resources if isinstance(each, Resource)]

    @property
    def live(self) -> list[LiveTable]:
        """The tables whose columns are read from Cassandra."""
        return [each for each in self.resources if isinstance(each, LiveTable)]

    def has_examples(self, settings: Settings) -> bool:
        """Return whether the built-in tables are served with these settings."""
        return not settings.tables if self.examples is None else self.examples


@in_own_task
@asynccontextmanager
async def lifespan_of_plan(
    plan: Plan, app: Starlette, router: SegmentRouter, claim: Claim
) -> AsyncIterator[Mapping[str, Any]]:
    """Connect to Cassandra, and serve the plan's tables while the context lasts. Yield the state of the lifespan.

    The exit waits until the requests in progress have ended, and then closes what the entry opened. The errors are
    those that `create_app` describes.
    """
    with claim.held():
        settings = plan.settings or Settings.load()
        hook = choose_hook(settings, plan.authorize)
        check_metrics_directory()
        async with Database.open(settings, plan.session) as database, background_tasks() as tasks:
            drain = Drain(settings.shutdown_grace, settings.drain_delay, end_this_process)
            tasks.start_soon(drain.run)
            examples, tables, without = (RESOURCES, TABLES, ()) if plan.has_examples(settings) else ((), (), EXAMPLES)
            declared = {each.name: ServedResource(each, settings.keyspace) for each in (*examples, *plan.declared)}
            reserved = {*RESERVED, *first_segments(router, without)}
            scopes = own_scopes(examples=bool(examples))
            wanted = Wanted.of_settings(
                settings.keyspace, plan.live, settings.tables, settings.writable, reserved, scopes
            )
            catalog = Catalog(database, {each.name: declared[each.name].table for each in plan.declared}, wanted)
            tasks.start_soon(catalog.follow, settings.request_timeout)
            tasks.start_soon(report_refused, database, plan.queries, settings.request_timeout)
            known = {*resource_names(others(router, without)), *wanted.names}
            tasks.start_soon(report_unknown_scopes, settings.api_keys, known, catalog, settings.request_timeout)
            resources = Resources(declared, catalog)
            with (
                started(
                    app,
                    settings,
                    database,
                    drain,
                    tables,
                    diagnostics=plan.diagnostics if settings.diagnostics is None else settings.diagnostics,
                    authorize=hook,
                    catalog=catalog,
                    declared=declared,
                    resources=resources,
                ),
                serving(router, resources.routes, without=without),
                rare_collections() if plan.owns_process else nullcontext(),
            ):
                yield {DRAIN: drain}
                await drain.finish()


def choose_hook(settings: Settings, authorize: Authorize | None) -> Authorize | None:
    """Return the hook that authorizes requests. Raises SettingsError if there are both API keys and `authorize`."""
    if not settings.api_keys:
        return authorize
    if authorize is None:
        return ApiKeys(settings.api_keys)
    raise SettingsError(
        [Problem("ASGI_CASSANDRA_API_KEYS", "has no effect beside this application's own `authorize`; unset it")]
    )

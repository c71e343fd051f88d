"""The errors that the service raises, as a tree of classes.

    ServiceError
    ├── RequestError                    the request is wrong
    │   ├── MalformedJSON           400
    │   ├── InvalidHeader           400
    │   ├── MalformedRequest        400
    │   ├── Unauthorized            401
    │   ├── Forbidden               403
    │   ├── NotFound                404
    │   ├── MethodNotAllowed        405
    │   ├── NotAcceptable           406
    │   ├── RequestTimeout          408
    │   ├── Conflict                409
    │   ├── PreconditionFailed      412
    │   ├── BodyTooLarge            413
    │   ├── BatchTooLarge           413
    │   ├── UriTooLong              414
    │   ├── UnsupportedMediaType    415
    │   ├── InvalidInput            422
    │   │   ├── InvalidPageState    422
    │   │   └── PartitionerUnsupported 422
    │   ├── RejectedByCassandra     422
    │   ├── PreconditionRequired    428
    │   └── HeadersTooLarge         431
    ├── Unavailable                     try again later: always with Retry-After
    │   ├── Overloaded              503
    │   │   ├── QueueFull           503
    │   │   ├── QueueTimeout        503
    │   │   └── TooManyStreams      503
    │   ├── NotConnected            503
    │   ├── LifespanNotStarted      503
    │   ├── WrongEventLoop          503
    │   ├── ShuttingDown            503
    │   ├── CassandraUnavailable    503
    │   ├── NotPermitted            503
    │   ├── ConsistencyUnavailable  503
    │   ├── ReadFailed              503
    │   ├── WriteFailed             503
    │   └── SchemaMissing           503
    ├── DeadlineExceeded            504 the request's deadline passed
    │   ├── AnswerOverdue           504 it passed after the driver got the statement
    │   ├── ReadTimeout             504 the replicas did not answer within Cassandra's timeout
    │   └── WriteTimeout            504
    └── InternalError               500 a bug of the service or of a handler that uses it
        ├── StatementRefused        500
        └── OpenedBeforeFork        500

A class has the HTTP `status`, the stable `code` and the public `title` of its errors. The text of an error (`detail`)
is written for the client: it never contains a driver message, a host address or CQL. The chained cause does, for the
operator.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec

Outcome = Literal["unknown", "applied"]

_place = re.compile(r"\A(?:/|query\.|path\.|header\.)")


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One wrong value of a request.

    `field` is a JSON pointer into the body (`/age`, `/3/email`), or `query.<name>`, `path.<name>`, `header.<name>`.
    `message` is a predicate that follows the field's name in a sentence: `is required`, `must be a UUID`. `usable` are
    the names that would be allowed instead, where there are some; without them, the error is sent without `usable`.
    """

    field: str
    message: str
    usable: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return the error as a sentence: `email is required`, `3/email is required`."""
        name = _place.sub("", self.field) or '""'
        return f"{name if self.field else 'the body'} {self.message}"


class ServiceError(Exception):
    """The base of all errors. `detail` is the sentence that the client reads, `errors` has one entry per wrong field.

    `outcome` is "unknown" if a write may or may not have been applied, "applied" if it was applied and a later step
    failed, else None.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    default_detail: ClassVar[str] = "The service could not answer this request."
    closes_connection: ClassVar[bool] = False
    """Whether the connection must be closed, because the rest of the request may still arrive on it."""

    def __init__(self, detail: str | None = None, *, errors: tuple[FieldError, ...] = ()) -> None:
        self.detail = detail or self.default_detail
        self.errors = errors
        self.outcome: Outcome | None = None
        super().__init__(self.detail)

    def headers(self) -> dict[str, str]:
        """Return the header fields that the error adds to its response."""
        return {}


class RequestError(ServiceError):
    """The request is wrong: the same request will fail again."""

    status = 400
    code = "bad_request"
    title = "Bad request"
    default_detail = "The request is not one this service can answer."


class MalformedJSON(RequestError):
    """The body is not JSON."""

    code = "malformed_json"
    title = "Malformed JSON"
    default_detail = "The body is not valid JSON."


class InvalidHeader(RequestError):
    """A header field has a value outside its bounds."""

    code = "invalid_header"
    title = "Invalid header"


class MalformedRequest(RequestError):
    """The bytes received are not HTTP. The connection is closed."""

    code = "malformed_request"
    title = "Malformed request"
    default_detail = "What was sent is not an HTTP request."
    closes_connection = True


class Unauthorized(RequestError):
    """The request has no valid token or API key."""

    status = 401
    code = "unauthorized"
    title = "Unauthorized"
    default_detail = "The token is missing or wrong. Send it as `Authorization: Bearer <token>`."

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="asgi-cassandra"'}


class Forbidden(RequestError):
    """The client is authenticated and is not allowed to do this."""

    status = 403
    code = "forbidden"
    title = "Forbidden"
    default_detail = "This may not be done with these credentials."


class NotFound(RequestError):
    """The row or the path does not exist."""

    status = 404
    code = "not_found"
    title = "Not found"
    default_detail = "There is nothing here."


class MethodNotAllowed(RequestError):
    """The path exists and does not have the method."""

    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"

    def __init__(self, allowed: tuple[str, ...], hint: str = "") -> None:
        self.allowed = ", ".join(allowed)
        answered = f"This resource answers {self.allowed}." if allowed else "This resource answers no method."
        super().__init__(f"{answered}{hint and ' '}{hint}")

    def headers(self) -> dict[str, str]:
        return {"Allow": self.allowed}


class NotAcceptable(RequestError):
    """The client accepts none of the media types that the resource offers."""

    status = 406
    code = "not_acceptable"
    title = "Not acceptable"

    def __init__(self, offered: tuple[str, ...]) -> None:
        super().__init__(f"This resource can be had as {', '.join(offered)}.")

    def headers(self) -> dict[str, str]:
        return {"Vary": "Accept"}


class RequestTimeout(RequestError):
    """The client took too long to send its request. The connection is closed."""

    status = 408
    code = "request_timeout"
    title = "Request timeout"
    default_detail = "The request did not arrive in the time it may take."
    closes_connection = True


class Conflict(RequestError):
    """The row that the request creates exists already. Nothing was written."""

    status = 409
    code = "conflict"
    title = "Conflict"
    default_detail = "There is a row with this key already. Nothing was written."


class PreconditionFailed(RequestError):
    """The row does not meet the condition of the request. Nothing was written.

    `current` is the row as it is now, for those who may read it.
    """

    status = 412
    code = "precondition_failed"
    title = "Precondition failed"
    default_detail = "The row is not as the condition says. Nothing was written."

    def __init__(self, current: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.current = current


class PreconditionRequired(RequestError):
    """The resource demands a condition, and the request has none (RFC 6585 section 3)."""

    status = 428
    code = "precondition_required"
    title = "Precondition required"
    default_detail = "Send If-Match with the ETag of the row that this request changes."


class BodyTooLarge(RequestError):
    """The request body is over the configured limit."""

    status = 413
    code = "body_too_large"
    title = "Body too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than the {limit} bytes this service accepts.")


class BatchTooLarge(RequestError):
    """The batch is larger than Cassandra's batch size limit. Nothing was written."""

    status = 413
    code = "batch_too_large"
    title = "Batch too large"
    default_detail = "The batch is larger than Cassandra accepts. Nothing was written: send fewer or smaller members."


class UriTooLong(RequestError):
    """Path and query together are longer than the configured limit."""

    status = 414
    code = "uri_too_long"
    title = "URI too long"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Path and query are longer than the {limit} bytes this service accepts.")


class UnsupportedMediaType(RequestError):
    """The body has a media type or an encoding that the resource does not read."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"
    default_detail = "Send the body as application/json."

    def __init__(self, detail: str | None = None, *, accepted: Mapping[str, str]) -> None:
        """Make the error. `accepted` has the fields that name the accepted types: Accept or Accept-Encoding (RFC 9110
        section 15.5.16), Accept-Patch (RFC 5789 section 2.2)."""
        super().__init__(detail)
        self._accepted = accepted

    def headers(self) -> dict[str, str]:
        return {**self._accepted}


class InvalidInput(RequestError):
    """A value in the well-formed body, query or path is not allowed.

    At most the first 100 wrong values are named.
    """

    status = 422
    code = "invalid_input"
    title = "Invalid input"
    most_errors: ClassVar[int] = 100

    def __init__(self, *, errors: tuple[FieldError, ...], detail: str | None = None) -> None:
        # Many clients show only the detail, so it names the first field and counts the others.
        super().__init__(detail or _first_and_number(errors), errors=errors[: self.most_errors])


class InvalidPageState(InvalidInput):
    """The page token was not issued by this service, or for another request, or another table, or has expired."""

    code = "invalid_page_state"
    title = "Invalid page state"
    default_detail = (
        "This page_state was not issued by this service for this request, or it has expired, or the table's key or "
        "indexes have changed since. Start again without one."
    )

    def __init__(self) -> None:
        errors = (FieldError("query.page_state", "not a page_state for this request, or expired"),)
        super().__init__(errors=errors, detail=self.default_detail)


class PartitionerUnsupported(InvalidInput):
    """A slice was asked for, and the cluster's partitioner is not Murmur3."""

    code = "partitioner_unsupported"
    title = "Partitioner not supported"
    default_detail = "Slices need a cluster whose partitioner is Murmur3Partitioner, and this one has another."

    def __init__(self) -> None:
        errors = (FieldError("query.slice", "needs the Murmur3 partitioner, and this cluster has another"),)
        super().__init__(errors=errors, detail=self.default_detail)


class RejectedByCassandra(RequestError):
    """Cassandra refused a bound value that passed the service's validation."""

    status = 422
    code = "rejected_by_cassandra"
    title = "Value refused"
    default_detail = "Cassandra refused a value of this request."


class HeadersTooLarge(RequestError):
    """The header fields are too many, or together larger than the configured limit."""

    status = 431
    code = "headers_too_large"
    title = "Headers too large"

    def __init__(self, limit: int, most: int) -> None:
        super().__init__(f"This service accepts at most {most} header fields of {limit} bytes in total.")


class Unavailable(ServiceError):
    """The service or Cassandra cannot answer now; the same request may succeed later."""

    status = 503
    code = "unavailable"
    title = "Service unavailable"
    default_detail = "The service cannot answer now. Ask again later."
    retry_after: ClassVar[int] = 1
    """Seconds (RFC 9110 section 10.2.3). The driver takes one second to reconnect to a node that returns."""

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class Overloaded(Unavailable):
    """More requests are in progress than the service's limits allow."""

    code = "overloaded"
    title = "Overloaded"
    default_detail = "Too many requests are under way. Ask again later."


class QueueFull(Overloaded):
    """The queue is full. The request is refused at once."""

    code = "queue_full"


class QueueTimeout(Overloaded):
    """The request waited for a slot for the longest time allowed. Nothing was sent to Cassandra."""

    code = "queue_timeout"


class TooManyStreams(Overloaded):
    """The limit of open streams is reached. The request is refused at once."""

    code = "too_many_streams"


class NotConnected(Unavailable):
    """There is no session yet: Cassandra has not been reached since the start."""

    code = "not_connected"
    title = "Not connected"
    default_detail = "The service has not reached Cassandra yet. It keeps trying."


class LifespanNotStarted(Unavailable):
    """A request arrived and the application's lifespan is not running."""

    code = "lifespan_not_started"
    title = "Lifespan not started"
    default_detail = (
        "The lifespan of this application is not running, so it has no connection to Cassandra. Where it is mounted, "
        "give its parent `lifespan=lifespan_of(app)`, or enter `app.router.lifespan_context(app)` in the lifespan that "
        "the parent has: Starlette does not run that of a mounted application. Otherwise use a server that runs "
        "lifespans, and leave that turned on."
    )


class WrongEventLoop(Unavailable):
    """The request is served on another event loop than the one that started the application, which is not affected."""

    code = "wrong_event_loop"
    title = "Wrong event loop"
    default_detail = (
        "This application was started on another event loop. Serve it on the event loop, and in the thread, that "
        "entered its lifespan, or make one application with create_app() for each event loop."
    )


class ShuttingDown(Unavailable):
    """The service is stopping and accepts no new requests."""

    code = "shutting_down"
    title = "Shutting down"
    default_detail = "The service is stopping."


class CassandraUnavailable(Unavailable):
    """No node answered: they are down, overloaded or starting, or the connection was lost."""

    code = "cassandra_unavailable"
    title = "Cassandra unavailable"
    default_detail = "Cassandra did not answer. Ask again later."


class NotPermitted(Unavailable):
    """Cassandra does not permit the statement to the service's role. The same request fails until that is changed."""

    code = "not_permitted"
    title = "Not permitted by Cassandra"
    default_detail = "Cassandra does not permit this to the service. Its operator can grant the permission."


class ConsistencyUnavailable(Unavailable):
    """Too few replicas are alive for the consistency level. The statement was not run."""

    code = "consistency_unavailable"
    title = "Consistency level unavailable"
    default_detail = "Too few replicas are alive for the consistency level asked for."


class ReadFailed(Unavailable):
    """A replica failed to execute the read."""

    code = "read_failed"
    title = "Read failed"
    default_detail = "A replica failed to carry out the read."


class WriteFailed(Unavailable):
    """A replica failed to execute the write."""

    code = "write_failed"
    title = "Write failed"
    default_detail = "A replica failed to carry out the write."


class SchemaMissing(Unavailable):
    """A served table, or one of its columns, does not exist in Cassandra."""

    code = "schema_missing"
    title = "Schema missing"
    default_detail = (
        "A table this resource needs, or a column of it, is missing. `asgi-cassandra schema` creates tables that are "
        "missing; it changes none that exist."
    )


class DeadlineExceeded(ServiceError):
    """The request's deadline passed before it was answered."""

    status = 504
    code = "deadline_exceeded"
    title = "Deadline exceeded"
    default_detail = "The deadline of this request passed before Cassandra answered."


class AnswerOverdue(DeadlineExceeded):
    """The deadline passed after the driver got the statement, so it is unknown whether the statement took effect."""


class ReadTimeout(DeadlineExceeded):
    """The coordinator timed out waiting for the replicas on a read."""

    code = "read_timeout"
    title = "Read timeout"
    default_detail = "The replicas did not answer the read in time."


class WriteTimeout(DeadlineExceeded):
    """The coordinator timed out waiting for the replicas on a write, which may still be applied."""

    code = "write_timeout"
    title = "Write timeout"
    default_detail = "The replicas did not confirm the write in time. It may or may not have been applied."


class InternalError(ServiceError):
    """A bug."""


class StatementRefused(InternalError):
    """Cassandra refused the text of a statement: a bug of the application, not an error of the client."""

    code = "statement_refused"
    title = "Statement refused"
    default_detail = "Cassandra refused the statement behind this address. The service's log says why."


class OpenedBeforeFork(InternalError):
    """The process was forked after the database was opened, and the session's connections do not survive a fork."""

    code = "opened_before_fork"
    title = "Opened before a fork"


class AlreadyStarted(RuntimeError):
    """The lifespan of an application was entered a second time before it was left. The first entry is not affected."""

    def __init__(self) -> None:
        super().__init__(
            "This application is started already: its lifespan was entered before and has not been left yet. Enter it "
            "once (a parent that enters it must not pass the lifespan on to it as well), or make one application with "
            "create_app() for each entry."
        )


class ForeignRequest(RuntimeError):
    """A function that needs a request of the service was given one that another application serves."""

    def __init__(self) -> None:
        super().__init__(
            "This is no request of the service: another application serves it, such as the one that mounts the "
            "service, or middleware around it. There use `app.state.database` of the application that create_app() "
            "made in place of database_of(request), and Deadline.after(seconds) in place of deadline_of(request). A "
            "route that needs more, such as stream_rows(request, ...), belongs into create_app(routes=[...])."
        )


def _first_and_number(errors: tuple[FieldError, ...]) -> str:
    """Return the sentence of the first error, and the number of others."""
    others = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return errors[0].sentence() + others

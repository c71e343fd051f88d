"""The private parts of uvicorn and h11 that the command line uses: an upgrade that removes one fails here by name."""

from pathlib import Path

from helpers.private_parts import missing, used_private_names

import asgi_app.cli

FOLDER = Path(asgi_app.cli.__file__).parent
H11, HTTPTOOLS = "uvicorn.protocols.http.h11_impl", "uvicorn.protocols.http.httptools_impl"

BOTH_PROTOCOLS = ("_should_upgrade", "app", "client", "config", "cycle", "loop", "on_response_complete", "transport")
BOTH_CYCLES = ("disconnected", "message_event", "response_complete", "response_started")
HTTPTOOLS_PROTOCOL = (
    *("expect_100_continue", "flow", "headers", "on_body", "on_header", "on_headers_complete", "on_message_begin"),
    *("_start_asgi_task", "on_message_complete", "on_url", "parser", "pipeline", "scope", "send_400_response", "url"),
)
PRIVATE_PARTS = (
    *(f"{H11}.H11Protocol.{name}" for name in (*BOTH_PROTOCOLS, "conn", "send_400_response")),
    *(f"{HTTPTOOLS}.HttpToolsProtocol.{name}" for name in (*BOTH_PROTOCOLS, *HTTPTOOLS_PROTOCOL)),
    *(f"{module}.RequestResponseCycle.{name}" for module in (H11, HTTPTOOLS) for name in BOTH_CYCLES),
    *(f"{HTTPTOOLS}.RequestResponseCycle.{name}" for name in ("chunked_encoding", "expected_content_length")),
    *(f"uvicorn.protocols.http.flow_control.FlowControl.{name}" for name in ("pause_reading", "resume_reading")),
    *(f"uvicorn.Server.{name}" for name in ("force_exit", "handle_exit", "on_tick", "server_state", "should_exit")),
    *(f"uvicorn.Server.{name}" for name in ("lifespan", "shutdown", "startup")),
    *(f"uvicorn.Config.{name}" for name in ("configure_logging", "timeout_graceful_shutdown", "timeout_keep_alive")),
    *(f"uvicorn.supervisors.multiprocess.Process.{name}" for name in ("_server", "exitcode", "is_alive", "process")),
    *(f"uvicorn.supervisors.Multiprocess.{name}" for name in ("handle_signals", "init_processes", "join_all")),
    *(f"uvicorn.supervisors.Multiprocess.{name}" for name in ("keep_subprocess_alive", "processes", "processes_num")),
    *(f"uvicorn.supervisors.Multiprocess.{name}" for name in ("should_exit", "signal_queue", "sockets")),
    "uvicorn.config.STARTUP_FAILURE",
    "h11.Connection._receive_buffer",
    *(f"h11._receivebuffer.ReceiveBuffer.{name}" for name in ("_data", "maybe_extract_at_most")),
    *(f"h11._receivebuffer.ReceiveBuffer.{name}" for name in ("maybe_extract_lines", "maybe_extract_next_line")),
)


def test_the_installed_versions_have_all() -> None:
    assert missing(PRIVATE_PARTS) == []


def test_all_that_are_used_are_listed() -> None:
    listed = {part for name in PRIVATE_PARTS for part in name.split(".")}
    assert used_private_names(FOLDER) - listed == set()

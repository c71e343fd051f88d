"""Run work within limits: slots, deadlines, retries, ownership, shutdown. Imports neither Starlette nor the driver."""

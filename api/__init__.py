"""The operators' surfaces: HTTP, WebSocket and SSE, the page, Telegram. Reads a projection, sends commands."""

"""The live connection to venues: WebSocket connections, REST, and what they say to the desk."""

"""The HTTP door: REST with OpenAPI, the live stream, and the console that speaks to it."""

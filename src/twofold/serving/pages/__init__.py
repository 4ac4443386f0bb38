"""Pages for people, rendered on the server: one module each, with templates and what the browser loads."""

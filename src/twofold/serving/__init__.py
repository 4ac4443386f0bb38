"""The server: a project's system behind the OpenAI API, as one process that many may ask at once."""

"""Models behind any endpoint that speaks OpenAI's chat API."""

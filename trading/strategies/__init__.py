"""What the desk would like to do: pure strategies that turn market facts into intents."""

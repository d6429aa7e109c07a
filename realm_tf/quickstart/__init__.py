"""The path a newcomer walks: from a raw corpus to an answered question, in one command."""
